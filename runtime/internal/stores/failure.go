package stores

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// StatusOf returns the status of an error of JetStream, or of this package.
func StatusOf(err error) *status.Status {
	if errors.Is(err, nats.ErrConnectionClosed) {
		return status.Newf(status.Canceled, "%w: %w", bus.ErrClosed, err)
	}
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		text := strings.ReplaceAll(err.Error(), nats.ErrReconnectBufExceeded.Error(), bus.NotConnected)
		return status.Because(err, status.Unavailable, text)
	}
	code := status.Internal
	switch {
	case errors.Is(err, context.Canceled):
		code = status.Canceled
	case errors.Is(err, ErrPermission):
		code = status.PermissionDenied
	case errors.Is(err, ErrMissing), errors.Is(err, ErrDifferent), errors.Is(err, ErrOld), errors.Is(err, ErrConfig):
		code = status.FailedPrecondition
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		code = status.Unavailable
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		code = codeOf(api)
	}
	if jserror.NotEnabled(err) {
		code = status.Unavailable
	}
	return status.Newf(code, "%w", err)
}

// codeOf returns the code for an error of JetStream's API.
func codeOf(e *jetstream.APIError) status.Code {
	switch {
	case strings.Contains(e.Description, "maximum") || strings.Contains(e.Description, "insufficient") || strings.Contains(e.Description, "exceeded"):
		return status.ResourceExhausted
	case e.Code == 503:
		return status.Unavailable
	case e.Code == 400:
		return status.FailedPrecondition
	}
	return status.Internal
}

// refusalHint says what people can do about a message that JetStream refuses.
func refusalHint(code status.Code, err *jetstream.APIError) string {
	switch {
	case err.ErrorCode == jserror.SchedulesAreOff:
		return "; the queue takes no delayed commands (NotBefore), as it has a size (max_bytes): send it when it is due, or let the queue have no size"
	case code == status.ResourceExhausted:
		return "; the stream is full: let it keep less (max_age), or more (max_bytes), or look at the limits of the account"
	}
	return ""
}
