package aegis

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// refusalHint says what can be done about a message that JetStream refuses.
func refusalHint(code Code, err *jetstream.APIError) string {
	switch {
	case err.ErrorCode == jserror.SchedulesAreOff:
		return "; the queue takes no delayed commands (NotBefore), as it has a size (max_bytes): send it when it is due, or let the queue have no size"
	case code == CodeResourceExhausted:
		return "; the stream is full: let it keep less (max_age), or more (max_bytes), or look at the limits of the account"
	}
	return ""
}
