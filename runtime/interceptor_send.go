package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// publicationKey finds in a context the publication that it derives from: the key's
// value is the struct that embeds publication, which overrides Value for that.
type publicationKey struct{}

// publication is one event or command on its way out. It is the context that
// interceptors see, and so carries the call from Publish or Send through them to the
// function that stores the message.
type publication struct {
	context.Context //nolint:containedctx // it is a context

	call     *Call // nil: nobody has asked for it
	own      Call  // what call points to, unless the caller has made one with NewCall
	deadline time.Time
}

// newPublication returns a publication with the deadline of ctx; without one the
// publication may take as long as timeout.
func newPublication(ctx context.Context, spec Method, timeout time.Duration) publication {
	p := publication{Context: ctx, call: outgoingCall(ctx)}
	var ok bool
	if p.deadline, ok = ctx.Deadline(); !ok {
		p.deadline = time.Now().Add(timeout)
	}
	p.own.method = spec
	if p.call != nil {
		p.call.method = spec
	}
	return p
}

// Value makes the call when an interceptor asks for it for the first time, and hides
// the call of NewCall from calls that an interceptor makes with this context.
func (p *publication) Value(key any) any {
	switch key.(type) {
	case currentKey:
		if p.call == nil {
			p.own.attempt = 1
			p.call = &p.own
		}
		return p.call
	case outgoingKey:
		return nil
	default:
		return p.Context.Value(key)
	}
}

// interceptSend wraps the publishing of an event or a command in interceptors. P is
// the struct that embeds publication. The result is nil without interceptors.
func interceptSend[P context.Context](
	chain []Interceptor, spec Method, desc protoreflect.MethodDescriptor, publish func(P, proto.Message) *Error,
) UnaryFunc {
	if len(chain) == 0 {
		return nil
	}
	name := desc.Input().FullName()
	return wrapped(Interceptor.WrapUnary, func(ctx context.Context, msg proto.Message) (proto.Message, error) {
		p, ok := ctx.Value(publicationKey{}).(P)
		if !ok {
			return nil, Errorf(CodeInternal, "an interceptor of %s passed on a context that does not derive from its own", spec.FullName())
		}
		if msg == nil || msg.ProtoReflect().Descriptor().FullName() != name {
			return nil, Errorf(CodeInternal, "an interceptor of %s passed on a message of type %T", spec.FullName(), msg)
		}
		if err := publish(p, msg); err != nil {
			return nil, err
		}
		return &emptypb.Empty{}, nil
	}, chain)
}
