package aegis

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"google.golang.org/protobuf/proto"
)

// WithErrorRedactor gives the server one place that decides what leaves the process
// of the errors of its handlers. Without it the whole text of an error travels, also
// that of a plain Go error, whatever it says of tables, hosts or people.
//
// The server calls redact with each error that a handler of a call, a stream, a
// broadcast, a command or an event returns, after the interceptors of the server and
// the service, and with the handler's context, so that CallFromContext says which
// method it is. The error that redact returns goes to the caller, into results and
// dead letters, and into what nats micro shows as last error; the server's own log
// has the first one where it logs errors of handlers, which it does for events and
// commands: log those of calls in redact. Whether an error is Permanent, and the
// message not tried again, the first one says as well as the second.
//
// An *Error that is returned as it is travels as without the option. If redact
// returns nil or panics, CodeInternal travels, without the text. It must be safe for
// concurrent use. Errors of the server itself, as after a panic, have no text of a
// handler and do not come by, nor do those of methods that are not implemented.
// Default: errors travel as they are. A nil redact is an invalid option.
func WithErrorRedactor(redact func(ctx context.Context, err error) error) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if redact == nil {
			return invalidOption("the error redactor is nil; leave the option out")
		}
		c.redact = redact
		return nil
	})
}

// redactor is what WithErrorRedactor was given; nil without it.
type redactor func(context.Context, error) error

// redactedError keeps what a handler has returned below the error that travels. Only
// the text of the latter is seen.
type redactedError struct{ original, said error }

func (e *redactedError) Error() string   { return e.said.Error() }
func (e *redactedError) Unwrap() []error { return []error{e.said, e.original} }

// original is what a handler has returned, for the log.
func original(err error) error {
	if r, ok := errors.AsType[*redactedError](err); ok {
		return r.original
	}
	return err
}

// unary wraps a handler with its interceptors.
func (r redactor) unary(s *Server, next UnaryFunc) UnaryFunc {
	if r == nil {
		return next
	}
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, r.apply(ctx, s, err)
		}
		return res, nil
	}
}

// stream wraps the handler of a stream with its interceptors.
func (r redactor) stream(s *Server, next ServerStreamFunc) ServerStreamFunc {
	if r == nil {
		return next
	}
	return func(ctx context.Context, st Stream) error {
		if err := next(ctx, st); err != nil {
			return r.apply(ctx, s, err)
		}
		return nil
	}
}

func (r redactor) apply(ctx context.Context, s *Server, err error) error {
	if _, ok := errors.AsType[*notImplementedError](err); ok {
		return err // the runtime's own
	}
	said := r.call(ctx, s, err)
	e := *asError(said)
	e.st.Cause = &redactedError{original: err, said: said}
	return &e
}

// call never returns nil, so that no error becomes a success.
func (r redactor) call(ctx context.Context, s *Server, err error) (said error) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("aegis: the error redactor panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		if said == nil {
			said = NewError(CodeInternal, "the handler failed")
		}
	}()
	return r(ctx, err)
}
