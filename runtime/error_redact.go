package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/protobuf/proto"
)

// redactor is the function of WithErrorRedactor; nil without one.
type redactor func(context.Context, error) error

// redactedError keeps the error that a handler has returned below the error that travels.
// Only the text of the latter is seen.
type redactedError struct{ original, said error }

func (e *redactedError) Error() string   { return e.said.Error() }
func (e *redactedError) Unwrap() []error { return []error{e.said, e.original} }

// original returns the error that a handler has returned, for the log.
func original(err error) error {
	if r, ok := errors.AsType[*redactedError](err); ok {
		return r.original
	}
	return err
}

// unary redacts the errors of a handler with its interceptors.
func (r redactor) unary(logger *slog.Logger, next UnaryFunc) UnaryFunc {
	if r == nil {
		return next
	}
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, r.apply(ctx, logger, err)
		}
		return res, nil
	}
}

// stream redacts the errors of a stream's handler with its interceptors.
func (r redactor) stream(logger *slog.Logger, next ServerStreamFunc) ServerStreamFunc {
	if r == nil {
		return next
	}
	return func(ctx context.Context, st AnyStream) error {
		if err := next(ctx, st); err != nil {
			return r.apply(ctx, logger, err)
		}
		return nil
	}
}

// apply returns the error that travels.
func (r redactor) apply(ctx context.Context, logger *slog.Logger, err error) error {
	if _, ok := errors.AsType[*notImplementedError](err); ok {
		return err // the runtime made it, without a text of the program
	}
	said := r.call(ctx, logger, err)
	e := *asError(said)
	e.st.Cause = &redactedError{original: err, said: said}
	return &e
}

// call calls the user's function. It never returns nil, so that no error becomes a
// success.
func (r redactor) call(ctx context.Context, logger *slog.Logger, err error) (said error) {
	defer func() {
		if p := recover(); p != nil {
			logger.Error("aegis: the error redactor panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		if said == nil {
			said = NewError(CodeInternal, "the handler failed")
		}
	}()
	return r(ctx, err)
}
