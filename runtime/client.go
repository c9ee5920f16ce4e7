package aegis

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/caller"
)

// Client has what all methods of a generated client share. It is safe for concurrent use.
type Client struct {
	conn    *Conn
	service *spec.Service
	cfg     clientConfig
	chains  map[string][]Interceptor // by method
	calls   *caller.Client
}

// UnaryMethod is one unary method of a Client. It is safe for concurrent use.
type UnaryMethod[Req, Res any] struct {
	clientMethod
	// intercepted makes the call through the interceptors; nil without any.
	intercepted UnaryFunc
}

// clientMethod is the part of a method that does not depend on the types of its messages.
type clientMethod struct {
	client *Client
	method *spec.Method   // nil if the service has no such method
	calls  *caller.Method // the same
	public Method
}

func newClientMethod(c *Client, name protoreflect.Name) clientMethod {
	m := clientMethod{client: c, public: Method{Service: c.service.Name, Name: string(name)}}
	if m.method = c.service.Method(string(name)); m.method != nil { // else config says so
		m.public = publicMethod(c.service, m.method, SideClient)
		m.calls = c.calls.Method(m.method)
	}
	return m
}

// Call calls the method and returns its response. The deadline is that of ctx, or the
// method's timeout from now if ctx has none. The error is an *Error; MayHaveRun tells
// whether a handler may have run.
func (u *UnaryMethod[Req, Res]) Call(ctx context.Context, req *Req, opts ...CallOption) (*Res, error) {
	cfg, err := u.config(opts)
	if err != nil {
		return nil, err
	}
	if u.intercepted != nil {
		return u.callIntercepted(ctx, req, cfg)
	}
	res := new(Res)
	//nolint:forcetypeassert // generated code passes messages
	err = u.invoke(ctx, any(req).(proto.Message), any(res).(proto.Message), cfg, outgoingCall(ctx))
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (u *UnaryMethod[Req, Res]) callIntercepted(ctx context.Context, req *Req, cfg *callConfig) (*Res, error) {
	inv := u.newInvocation(ctx, cfg)
	out, err := u.intercepted(inv, any(req).(proto.Message)) //nolint:forcetypeassert // see Call
	if err != nil {
		return nil, asError(err)
	}
	res, ok := any(out).(*Res)
	if !ok || res == nil {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s returned %T without an error in place of %T", u.public.FullName(), out, res)
	}
	return res, nil
}

// inside is called by the innermost interceptor.
func (u *UnaryMethod[Req, Res]) inside(ctx context.Context, req proto.Message) (proto.Message, error) {
	inv, err := u.invocationOf(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := any(req).(*Req); !ok {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s passed on a request of type %T", u.public.FullName(), req)
	}
	res := new(Res)
	if err := u.invoke(ctx, req, any(res).(proto.Message), inv.cfg, inv.call); err != nil { //nolint:forcetypeassert // see Call
		return nil, err
	}
	return any(res).(proto.Message), nil //nolint:forcetypeassert // see Call
}

type invocationKey struct{}

// invocation is one call with interceptors, as the context that they get: CallFromContext
// finds the call in it, and a further call that an interceptor makes does not inherit the
// metadata.
type invocation struct {
	context.Context //nolint:containedctx // an invocation is a context
	call            *Call
	own             Call // the call, unless the caller has made one with NewCall
	cfg             *callConfig
	cancel          context.CancelFunc // ends the context; nil of a unary call
	opened          openedStream       // by the innermost interceptor; nil before that, and of a unary call
}

// newInvocation returns the invocation of a call of the method.
func (m *clientMethod) newInvocation(ctx context.Context, cfg *callConfig) *invocation {
	inv := &invocation{Context: ctx, call: outgoingCall(ctx), cfg: cfg}
	if inv.call == nil {
		inv.own.attempt = 1
		inv.call = &inv.own
	}
	inv.call.method = m.public
	return inv
}

// invocationOf returns the invocation that the context of an interceptor belongs to.
func (m *clientMethod) invocationOf(ctx context.Context) (*invocation, error) {
	inv, ok := ctx.Value(invocationKey{}).(*invocation)
	if !ok {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s passed on a context that does not derive from its own", m.public.FullName())
	}
	return inv, nil
}

// openedStream is a stream, or a broadcast, beneath its interceptors.
type openedStream interface {
	AnyStream
	// drop ends the stream at this end, because of why, unless it has ended.
	drop(why *Error)
}

func (i *invocation) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return i.call
	case invocationKey:
		return i
	case outgoingKey:
		return nil
	default:
		return i.Context.Value(key)
	}
}

// config returns the configuration of a call with these options.
func (m *clientMethod) config(opts []CallOption) (*callConfig, error) {
	if m.method == nil {
		return nil, Errorf(CodeUnimplemented, "%s is not in the descriptor of the service: the generated files of messages and services "+
			"are of different versions; run buf generate", m.public.FullName()).notRun(true)
	}
	if len(opts) == 0 {
		return &m.client.cfg.call, nil
	}
	cfg := m.client.cfg.call
	cfg.given = caller.Given{}
	for i, o := range opts {
		if o == nil {
			return nil, Errorf(CodeInvalidArgument, "%w", nilOption(i)).notRun(true)
		}
		if err := o.applyCall(&cfg); err != nil {
			return nil, Errorf(CodeInvalidArgument, "%w", err).notRun(true)
		}
	}
	if err := refusedOption(cfg.given.Check(m.method)); err != nil {
		return nil, Errorf(CodeInvalidArgument, "%w", err).notRun(true)
	}
	return &cfg, nil
}

// invoke makes a unary call, and counts it.
func (m *clientMethod) invoke(ctx context.Context, req, res proto.Message, cfg *callConfig, call *Call) error {
	now := time.Now()
	m.calls.Figures.Begin()
	e := m.exchange(ctx, now, req, res, cfg, call)
	m.calls.Figures.Done(now, e.inward())
	return errorOrNone(e)
}

// exchange marshals the request once, and sends it as often as that is safe.
func (m *clientMethod) exchange(ctx context.Context, now time.Time, req, res proto.Message, cfg *callConfig, call *Call) *Error {
	if m.method.MaxMessageBytes > 0 {
		return errorOrNil(m.invokeInParts(ctx, req, res, cfg, call))
	}
	if err := ctx.Err(); err != nil {
		return asError(err).notRun(true)
	}
	conn := m.client.conn
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], req); err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", m.public.FullName(), err).notRun(true)
	}
	c := m.calls.Begin(ctx, slot, now, &cfg.Choice)
	if err := m.describe(&c, call); err != nil {
		return err
	}
	why := c.Run(req, res)
	call.answered(&c.Answer)
	return outward(why)
}

// describe has a call carry the metadata of call, and asks for those of the reply. call is nil
// if the caller has asked for none.
func (m *clientMethod) describe(c *caller.Call, call *Call) *Error {
	if call == nil {
		return nil
	}
	call.method, c.Answer.Wanted = m.public, true
	call.response, call.term = nil, Term{}
	if len(call.request) == 0 {
		return nil
	}
	c.Header = make(nats.Header, len(call.request)+2)
	if err := call.request.encodeTo(c.Header); err != nil {
		return err.notRun(true)
	}
	return nil
}

// answered takes what the last reply to the call has said.
func (c *Call) answered(a *caller.Answer) {
	if c != nil {
		c.response, c.term = a.Header, Term(a.Term)
	}
}
