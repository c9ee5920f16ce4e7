package aegis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Reasons that an Error gives beside its code, where the runtime and not a
// handler produced it.
const (
	// ReasonNoResponders: nobody listens on the subject of the call. Nothing ran.
	ReasonNoResponders = "NO_RESPONDERS"
	// ReasonOverloaded: the instance runs as many handlers as it may. Nothing ran.
	ReasonOverloaded = wire.ReasonOverloaded
	// ReasonStopping: the instance shuts down. Nothing of a call ran, nor of a stream
	// that was not opened. A stream that was open, and lasts longer than WithStreamGrace
	// leaves it, ends with this reason as well: its handler has run so far.
	ReasonStopping = wire.ReasonStopping
	// ReasonStale: the request waited in a process that was paused, for an
	// unknown time. Nothing ran.
	ReasonStale = wire.ReasonStale
	// ReasonNoMethod: the instance has no such method, as one of an older version
	// may. Nothing ran.
	ReasonNoMethod = wire.ReasonNoMethod
	// ReasonInstanceLost: the instance that was called was found to be gone before
	// it replied. Whether the handler ran is unknown. The client concludes it.
	ReasonInstanceLost = "INSTANCE_LOST"
	// ReasonTooLarge: a message exceeds the max_payload of the NATS server, or the
	// method's max_message_bytes.
	ReasonTooLarge = wire.ReasonTooLarge
	// ReasonNotActive: the instance does not lead the group of the method, or
	// nobody does. Nothing ran.
	ReasonNotActive = wire.ReasonNotActive
	// ReasonLeadershipLost: the leader's term ended before it could reply.
	// Whether the handler ran is unknown.
	ReasonLeadershipLost = wire.ReasonLeadershipLost
)

// ErrNoResponders matches, with errors.Is, the error of a call for which nobody
// listened. Its code is CodeUnavailable, and no handler has run.
var ErrNoResponders = &Error{code: CodeUnavailable, reason: ReasonNoResponders, message: "no server listens"}

// ErrNotActive matches, with errors.Is, the error of a call to a single active
// method that no leader took until the call's deadline, and of a directed call
// to an instance that does not lead. Its code is CodeUnavailable, and no handler
// has run.
var ErrNotActive = &Error{code: CodeUnavailable, reason: ReasonNotActive, message: "the instance is not the leader"}

// Error is the error of a call: a code, a message for people, details for
// programs. Every error that a client returns is an *Error or wraps one, so
// errors.As finds it. An Error is immutable and safe for concurrent use. A nil *Error
// that was returned as an error, by mistake, says so with CodeInternal.
//
// A handler may return any error. Its whole text goes to the caller: that of an *Error
// with whatever wraps it, and that of a plain Go error as well, with CodeUnknown. Use
// WithErrorRedactor where callers must not read what a database or a file system says.
type Error struct {
	code    Code
	message string
	reason  string
	details []*anypb.Any
	wire    bool
	cause   error
}

// errUnset is what a nil *Error says: a variable that was never set was returned as
// an error.
var errUnset = &Error{code: CodeInternal, message: "a nil *aegis.Error was returned as an error"}

// orUnset is e, or errUnset for nil, so that no method of an error panics.
func (e *Error) orUnset() *Error {
	if e == nil {
		return errUnset
	}
	return e
}

// NewError returns an error for a handler to return. A code that is not one of
// the sixteen counts as CodeUnknown.
func NewError(code Code, message string) *Error {
	if code < minCode || code > maxCode {
		code = CodeUnknown
	}
	return &Error{code: code, message: message}
}

// Errorf is NewError with a message from fmt.Errorf. What %w wraps is found by
// errors.Is and errors.As on this side of the wire; it does not travel.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := NewError(code, err.Error())
	switch err.(type) { //nolint:errorlint // does it wrap anything?
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		e.cause = err
	}
	return e
}

// WithDetails returns a copy of e with further typed details, which the caller
// reads with Details. It returns an error if a detail cannot be marshalled.
func (e *Error) WithDetails(details ...proto.Message) (*Error, error) {
	c := *e.orUnset()
	c.details = append([]*anypb.Any(nil), c.details...)
	for _, d := range details {
		packed, err := anypb.New(d)
		if err != nil {
			return nil, fmt.Errorf("aegis: error detail %T: %w", d, err)
		}
		c.details = append(c.details, packed)
	}
	return &c, nil
}

// Error returns the code, the reason if there is one, and the message.
func (e *Error) Error() string {
	e = e.orUnset()
	if e.reason != "" {
		return e.code.String() + " (" + e.reason + "): " + e.message
	}
	return e.code.String() + ": " + e.message
}

// Code returns the canonical code.
func (e *Error) Code() Code { return e.orUnset().code }

// Message returns what went wrong, for a person.
func (e *Error) Message() string { return e.orUnset().message }

// Reason returns one of the Reason constants if the runtime of either side
// produced the error, and "" if a handler did.
func (e *Error) Reason() string { return e.orUnset().reason }

// Details returns the typed details; unpack them with their UnmarshalNew or
// UnmarshalTo methods. The caller must not change them.
func (e *Error) Details() []*anypb.Any { return e.orUnset().details }

// Unwrap returns the error that e wraps on this side of the wire, such as
// context.DeadlineExceeded, or nil.
func (e *Error) Unwrap() error { return e.orUnset().cause }

// Is reports whether target is the sentinel of e's reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t == ErrNoResponders || t == ErrNotActive) && e.orUnset().reason == t.reason
}

// CodeOf returns the code of the first *Error in err's chain. For other errors
// it is CodeCanceled or CodeDeadlineExceeded for those of a context, else
// CodeUnknown; for nil it is 0.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	return asError(err).code
}

// IsWireError reports whether a server said err, and not the client concluded
// it by itself (no answer in time, nobody there, a bad request).
func IsWireError(err error) bool {
	var e *Error
	return errors.As(err, &e) && e != nil && e.wire
}

// asError is the seam through which every error leaves the runtime.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e) && e == nil: // a variable of type *Error that was never set
		return errUnset
	case e != nil:
		if e == err { //nolint:errorlint // an *Error that is not wrapped stays as it is
			return e
		}
		c := *e
		c.cause = err
		if !onlyMarks(err, e) { // else the text is the error's own, code and all
			c.message = err.Error()
		}
		return &c
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{code: CodeDeadlineExceeded, message: err.Error(), cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{code: CodeCanceled, message: err.Error(), cause: err}
	default:
		return &Error{code: CodeUnknown, message: err.Error(), cause: err}
	}
}

// decodeError reads an error reply: the status in its body, or the headers alone
// where there is none that can be read (a plain NATS micro service).
func decodeError(msg *nats.Msg) *Error {
	e := &Error{
		code:    CodeUnknown,
		message: transportHeader(msg.Header, wire.HeaderServiceError),
		reason:  transportHeader(msg.Header, wire.HeaderReason),
		wire:    true,
	}
	if n, err := strconv.ParseUint(transportHeader(msg.Header, wire.HeaderServiceErrorCode), 10, 32); err == nil {
		if c := Code(n); c >= minCode && c <= maxCode {
			e.code = c
		}
	}
	var status aegisv1.Status
	if len(msg.Data) > 0 && proto.Unmarshal(msg.Data, &status) == nil && status.GetCode() == int32(e.code) {
		e.message, e.details = status.GetMessage(), status.GetDetails()
	}
	return e
}

func (e *Error) status() *aegisv1.Status {
	return &aegisv1.Status{Code: int32(e.code), Message: strings.ToValidUTF8(e.message, "\uFFFD"), Details: e.details}
}

// refusal is an error of the runtime with a reason.
func refusal(code Code, reason, format string, args ...any) *Error {
	e := Errorf(code, format, args...)
	e.reason = reason
	return e
}
