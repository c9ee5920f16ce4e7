package aegistest

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// NewWireError returns the error that a client gets when a handler has returned code, message
// and details: IsWireError is true for it, and MayHaveRun.
func NewWireError(code aegis.Code, message string, details ...proto.Message) *aegis.Error {
	why := status.New(status.Code(code), message)
	why.FromServer = true
	for _, d := range details {
		packed, err := anypb.New(d)
		if err != nil {
			why.Code, why.Message = status.Internal, fmt.Sprintf("aegistest: the detail %T of the error cannot be marshalled: %v", d, err)
			break
		}
		why.Details = append(why.Details, packed)
	}
	return toError(why)
}

// NewRefusal returns the error of a call that no handler has run for, with one of the reasons
// of package aegis for that: ReasonNoResponders, ReasonOverloaded, ReasonStopping,
// ReasonStale, ReasonNoMethod or ReasonNotActive. MayHaveRun is false for it, and errors.Is
// finds ErrNoResponders and ErrNotActive.
func NewRefusal(reason string) *aegis.Error {
	code := status.Unavailable
	switch reason {
	case aegis.ReasonOverloaded:
		code = status.ResourceExhausted
	case aegis.ReasonNoMethod:
		code = status.Unimplemented
	}
	why := status.Refusal(code, reason, "refused by a test").WithNotRun(true)
	why.FromServer = reason != aegis.ReasonNoResponders
	return toError(why)
}

// NewUnknownOutcome returns the error of a call that may have run, or not, with one of the
// reasons of package aegis for that (ReasonInstanceLost, ReasonConnectionLost,
// ReasonLeadershipLost), or "" for a call whose deadline has passed. MayHaveRun is true for
// it.
func NewUnknownOutcome(reason string) *aegis.Error {
	switch reason {
	case "":
		return toError(status.New(status.DeadlineExceeded, "no reply before the deadline of a test; whether the handler ran is unknown"))
	case aegis.ReasonLeadershipLost:
		why := status.Refusal(status.Aborted, reason, "lost by a test")
		why.FromServer = true
		return toError(why)
	default:
		return toError(status.Refusal(status.Unavailable, reason, "lost by a test"))
	}
}

func toError(why *status.Status) *aegis.Error {
	return inmemory.ForTests().Error(why).(*aegis.Error) //nolint:errorlint,forcetypeassert // it is one
}
