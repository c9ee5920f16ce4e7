package aegis

import (
	"errors"
	"slices"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// The reasons that an Error has beside its code, if the runtime and not a handler
// produced it.
const (
	// ReasonNoResponders: nobody listens on the subject of the call. Nothing ran.
	ReasonNoResponders = status.ReasonNoResponders
	// ReasonOverloaded: the instance runs as many handlers as it may. Nothing ran.
	ReasonOverloaded = wire.ReasonOverloaded
	// ReasonRefused: an interceptor has refused the call, see AsRefusal. Nothing ran.
	ReasonRefused = wire.ReasonRefused
	// ReasonStopping: the instance shuts down. Nothing of a call ran, nor of a stream
	// that was not opened. An open stream that lasts longer than WithStreamGrace allows
	// ends with this reason as well: its handler has run so far.
	ReasonStopping = wire.ReasonStopping
	// ReasonStale: the request waited in a process that was paused, for an
	// unknown time. Nothing ran.
	ReasonStale = wire.ReasonStale
	// ReasonNoMethod: the instance has no such method, as one of an older version
	// may. Nothing ran.
	ReasonNoMethod = wire.ReasonNoMethod
	// ReasonInstanceLost: the instance that was called was found to be gone before
	// it replied. Whether the handler ran is unknown. The client gives this reason.
	ReasonInstanceLost = status.ReasonInstanceLost
	// ReasonConnectionLost: the connection of this process to NATS was lost before the reply
	// came, and is back. Whether the handler ran is unknown. Only an idempotent call ends so, if
	// no time is left to send it again; others wait for their reply until their deadline. The
	// client gives this reason.
	ReasonConnectionLost = status.ReasonConnectionLost
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
// listened. Its code is CodeUnavailable, and no handler has run in this attempt; of
// earlier attempts of an idempotent call MayHaveRun says whether a handler may have run.
var ErrNoResponders = refusal(CodeUnavailable, ReasonNoResponders, "no server listens")

// ErrNotActive matches, with errors.Is, the error of a call to a single active
// method that no leader took until the call's deadline, and of a directed call
// to an instance that does not lead. Its code is CodeUnavailable, and no handler
// has run, but as for ErrNoResponders.
var ErrNotActive = refusal(CodeUnavailable, ReasonNotActive, "the instance is not the leader")

// Error is the error of a call: a code, a message for people, details for
// programs. Every error that a client returns is an *Error or wraps one, so
// errors.As finds it. An Error is immutable and safe for concurrent use. A nil *Error
// that was returned as an error by mistake has CodeInternal and a text about the mistake.
//
// A handler may return any error. Its whole text goes to the caller: the text of an *Error
// and of the errors that wrap it, and the text of a plain Go error as well, with
// CodeUnknown. Use WithErrorRedactor where callers must not read the errors of a database
// or a file system.
type Error struct{ st status.Status }

// errUnset stands for a nil *Error: a variable that was never set was returned as an
// error.
var errUnset = NewError(CodeInternal, "a nil *aegis.Error was returned as an error")

// orUnset returns e, or errUnset for nil, so that no method of an error panics.
func (e *Error) orUnset() *Error {
	if e == nil {
		return errUnset
	}
	return e
}

// NewError returns an error for a handler to return. A code that is not one of
// the sixteen counts as CodeUnknown.
func NewError(code Code, message string) *Error {
	return &Error{*status.New(status.Code(code), message)}
}

// Errorf is NewError with a message from fmt.Errorf. errors.Is and errors.As find the
// errors that %w wraps on this side of the wire; they do not travel.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{*status.Newf(status.Code(code), format, args...)}
}

// WithDetails returns a copy of e with further typed details, which the caller reads with
// Details. A detail that cannot be marshalled is left out, and the message says so.
func (e *Error) WithDetails(details ...proto.Message) *Error {
	return outward(e.orUnset().st.WithDetails(details))
}

// AsRefusal returns a copy of e with which an interceptor refuses a call, an event or a
// command in place of passing it on: MayHaveRun is false for it, at the caller of a server as
// well. reason is ReasonOverloaded if another instance may take the call: clients try it again
// as if the instance were overloaded. Each other reason becomes ReasonRefused. What a
// handler returns is no refusal.
func (e *Error) AsRefusal(reason string) *Error {
	return outward(e.orUnset().st.AsRefusal(reason))
}

// ofHandler returns an error of a handler, which has run, so that a refusal in it is that of
// another call.
func ofHandler(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e != nil && e.st.Refusal {
		return outward(asError(err).st.WithoutRefusal())
	}
	return err
}

// Error returns the code, the reason if there is one, and the message.
func (e *Error) Error() string { return e.orUnset().st.Text() }

// Code returns the canonical code.
func (e *Error) Code() Code { return Code(e.orUnset().st.Code) }

// Message returns the text for a person.
func (e *Error) Message() string { return e.orUnset().st.Message }

// Reason returns one of the Reason constants if the runtime of either side
// produced the error, and "" if a handler did.
func (e *Error) Reason() string { return e.orUnset().st.Reason }

// Details returns the typed details; unpack them with their UnmarshalNew or
// UnmarshalTo methods. The caller must not change them.
func (e *Error) Details() []*anypb.Any { return e.orUnset().st.Details }

// Unwrap returns the error that e wraps on this side of the wire, such as
// context.DeadlineExceeded, or nil.
func (e *Error) Unwrap() error { return e.orUnset().st.Cause }

// Is reports whether target is the sentinel of e's reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t == ErrNoResponders || t == ErrNotActive) && e.Reason() == t.st.Reason
}

// CodeOf returns the code of the first *Error in err's chain. For other errors
// it is CodeCanceled or CodeDeadlineExceeded if the context's error is in the chain, else
// CodeUnknown; for nil it is 0.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	return asError(err).Code()
}

// IsWireError reports whether err came from a server. It is false for errors that the
// client has concluded by itself (no answer in time, nobody there, a bad request).
func IsWireError(err error) bool {
	var e *Error
	return errors.As(err, &e) && e != nil && e.st.FromServer
}

// MayHaveRun reports whether a handler may have run for a call, or the open of a
// stream, that failed with err. It is false only if it is certain that none has: nothing
// was sent, nobody listened, or every server that was asked has refused. It is true for
// all other errors, also for nil, errors of handlers, and errors that are no *Error. If it
// is false, even a call that is not idempotent may be repeated.
//
// For the error of an event or a command, MayHaveRun reports whether the event or command
// may be stored, or may have reached its handlers. For joined errors it is true if it is
// true for any of them.
func MayHaveRun(err error) bool {
	switch e := err.(type) { //nolint:errorlint // layer by layer: each may be a branch
	case *Error:
		return e == nil || !e.st.NotRun
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), MayHaveRun)
	case interface{ Unwrap() error }:
		return MayHaveRun(e.Unwrap())
	default:
		return true
	}
}

// asError makes an *Error of any error. Every error that leaves the runtime passes here, or
// is one already.
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
		c.st.Cause, c.st.NotRun = err, !MayHaveRun(err)
		if !onlyMarks(err, e) { // else the text of err would have the code in it
			c.st.Message = err.Error()
		}
		return &c
	default:
		return outward(status.Of(err))
	}
}

func quote(s string) string { return status.Quote(s) }

// failed reports whether a reply is an error; decodeError reads it.
func failed(msg *nats.Msg) bool { return status.Failed(msg.Header) }

func decodeError(msg *nats.Msg) *Error { return &Error{*status.Decode(msg.Header, msg.Data)} }

// outward returns the error of a status; nil for nil.
func outward(s *status.Status) *Error {
	if s == nil {
		return nil
	}
	return &Error{*s}
}

// inward returns the status of an error; nil for nil.
func (e *Error) inward() *status.Status {
	if e == nil {
		return nil
	}
	return &e.st
}

// refusal returns an error of the runtime with a reason.
func refusal(code Code, reason, format string, args ...any) *Error {
	return &Error{*status.Refusal(status.Code(code), reason, format, args...)}
}

// because returns an error of the runtime with a cause whose text is not in the message.
func because(cause error, code Code, message string) *Error {
	return &Error{status.Status{Code: status.Code(code), Message: message, Cause: cause}}
}

// notRun returns e, or a copy of e, that says whether it is certain that no handler has
// run.
func (e *Error) notRun(certain bool) *Error {
	if e.st.NotRun == certain {
		return e
	}
	c := *e
	c.st.NotRun = certain
	return &c
}

// notImplementedError is the cause of the errors of a generated Unimplemented server.
type notImplementedError struct{ method protoreflect.FullName }

func (e *notImplementedError) Error() string {
	return string(e.method) + " is not implemented by this server"
}

// Unimplemented returns the error that a method of a generated Unimplemented server
// returns. It is called by generated code.
func Unimplemented(method protoreflect.FullName) error {
	e := &notImplementedError{method}
	return because(e, CodeUnimplemented, e.Error())
}
