package aegisvalidate

import (
	"context"
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Interceptor validates messages. It is safe for concurrent use.
type Interceptor struct {
	validator protovalidate.Validator
	one       *method // of the interceptor of one method; nil of the one that New returns
}

var _ aegis.MethodInterceptor = (*Interceptor)(nil)

// Option is an option of New.
type Option interface{ apply(i *Interceptor) error }

type option func(*Interceptor) error

func (o option) apply(i *Interceptor) error { return o(i) }

// WithValidator sets the validator, such as one that stops at the first violation. Default:
// protovalidate.GlobalValidator, whose compiled rules the whole program shares. Nil is an
// error of New.
func WithValidator(v protovalidate.Validator) Option {
	return option(func(i *Interceptor) error {
		if v == nil {
			return errors.New("aegisvalidate: the validator is nil")
		}
		i.validator = v
		return nil
	})
}

// New returns an interceptor that validates, for all sides. The error is that of an option.
func New(opts ...Option) (*Interceptor, error) {
	i := &Interceptor{validator: protovalidate.GlobalValidator}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("aegisvalidate: an option is nil")
		}
		if err := o.apply(i); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// ForMethod returns the interceptor of one method, and compiles the rules of the method's
// requests. The error is a protovalidate.CompilationError. The runtime calls it.
func (i *Interceptor) ForMethod(m aegis.Method, side aegis.Side) (aegis.Interceptor, error) {
	err := i.validator.Validate(dynamicpb.NewMessage(m.Descriptor.Input()))
	if wrong, ok := errors.AsType[*protovalidate.CompilationError](err); ok {
		return nil, fmt.Errorf("aegisvalidate: the rules of %s: %w", m.Descriptor.Input().FullName(), wrong)
	}
	return &Interceptor{i.validator, newMethod(i.validator, m, side)}, nil
}

// at returns the method of a call, also where another interceptor has wrapped i without
// asking for it.
func (i *Interceptor) at(ctx context.Context) *method {
	if i.one != nil {
		return i.one
	}
	call, ok := aegis.CallFromContext(ctx)
	if !ok {
		call = &aegis.Call{} // another interceptor has passed on a context of its own
	}
	return newMethod(i.validator, call.Method(), call.Side())
}

// WrapUnary validates the requests of unary calls, events and commands. The runtime calls
// it.
func (i *Interceptor) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if err := i.at(ctx).validate(req); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapClientStream validates the messages that a client sends. The runtime calls it.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	return func(ctx context.Context) (aegis.AnyStream, error) {
		s, err := next(ctx)
		if err != nil {
			return nil, err
		}
		return &sending{s, i.at(ctx)}, nil
	}
}

// WrapServerStream validates the messages that a server receives. The runtime calls it.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(ctx context.Context, s aegis.AnyStream) error {
		return next(ctx, &receiving{s, i.at(ctx)})
	}
}
