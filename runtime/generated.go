package aegis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/caller"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
	"github.com/aegisrpc/aegis/runtime/internal/specs"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Documented returns the descriptor of a service with the comments of its .proto file, for
// the constructors below: they serve the comments with the descriptors. It is called by
// generated code.
func Documented(service protoreflect.ServiceDescriptor, comments []Comment) protoreflect.ServiceDescriptor {
	if service == nil {
		return nil // the constructors say so
	}
	d := &descset.Documented{ServiceDescriptor: service}
	for _, comment := range comments {
		d.Comments = append(d.Comments, descset.Comment(comment))
	}
	return d
}

// NewClient returns the client of a service. It is called by generated code.
func NewClient(conn *Conn, service protoreflect.ServiceDescriptor, opts ...ClientOption) (*Client, error) {
	if conn == nil {
		return nil, errors.New("aegis: the connection of a client is nil")
	}
	desc, err := specs.Read(service)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, service: desc, cfg: clientConfig{budgetRatio: 0.2, budgetMin: 10}}
	c.cfg.call.window = defaultWindow()
	if err := applyOptions(opts, func(o ClientOption) error { return o.applyClient(&c.cfg) }); err != nil {
		return nil, err
	}
	if err := checkClientOptions(desc, &c.cfg); err != nil {
		return nil, err
	}
	c.cfg.interceptors = conn.intoMemory(desc, c.cfg.interceptors)
	if c.chains, err = chainsOf(nil, c.cfg.interceptors, desc, SideClient); err != nil {
		return nil, err
	}
	conn.describes(service)
	conn.void.Use(wire.KindCall)
	c.calls, err = caller.New(caller.Options{
		Service: desc, Budget: retry.NewBudget(c.cfg.budgetRatio, c.cfg.budgetMin), Bus: conn.bus, Void: conn.void, Subjects: conn.subjects,
		Patterns: conn.patterns, Leaders: conn.leaders, Targets: conn.targets(), Figures: conn.figures(), Zone: conn.standing.origin.Zone,
	})
	return c, err
}

// NewUnaryMethod returns a unary method of a client. It is called by generated code.
func NewUnaryMethod[Req, Res any](c *Client, name protoreflect.Name) *UnaryMethod[Req, Res] {
	u := &UnaryMethod[Req, Res]{clientMethod: newClientMethod(c, name)}
	if chain := c.chains[string(name)]; len(chain) > 0 && u.method != nil {
		u.intercepted = wrapped(Interceptor.WrapUnary, u.inside, chain)
	}
	return u
}

// NewServerStreamMethod returns a method of a client whose responses are a stream. It is
// called by generated code.
func NewServerStreamMethod[Req, Res any](c *Client, name protoreflect.Name) *ServerStreamMethod[Req, Res] {
	return &ServerStreamMethod[Req, Res]{newStreamMethod(c, name)}
}

// NewClientStreamMethod returns a method of a client whose requests are a stream. It is
// called by generated code.
func NewClientStreamMethod[Req, Res any](c *Client, name protoreflect.Name) *ClientStreamMethod[Req, Res] {
	return &ClientStreamMethod[Req, Res]{newStreamMethod(c, name)}
}

// NewBidiStreamMethod returns a method of a client whose requests and responses are streams.
// It is called by generated code.
func NewBidiStreamMethod[Req, Res any](c *Client, name protoreflect.Name) *BidiStreamMethod[Req, Res] {
	return &BidiStreamMethod[Req, Res]{newStreamMethod(c, name)}
}

// NewBroadcastMethod returns a broadcast of a client. It is called by generated code.
func NewBroadcastMethod[Req, Res any](c *Client, name protoreflect.Name) *BroadcastMethod[Req, Res] {
	m := &BroadcastMethod[Req, Res]{streamMethod{clientMethod: newClientMethod(c, name)}}
	m.open = wrapped(Interceptor.WrapClientStream, m.broadcast, c.chains[string(name)])
	return m
}

// NewCommandMethod is called by generated code.
func NewCommandMethod[Req, Res any](c *Client, name protoreflect.Name) *CommandMethod[Req, Res] {
	m := &CommandMethod[Req, Res]{commandMethod{client: c, public: Method{Service: c.service.Name, Name: string(name)}}}
	method := c.service.Method(string(name))
	if method == nil || method.Command == nil {
		return m // Send says so
	}
	m.method, m.public = method, publicMethod(c.service, method, SideClient)
	m.commands, m.figures = c.conn.commandsOf(c.service), c.conn.figures().Of(c.service.Name, method.Name)
	c.conn.patterns.Use(c.service)
	m.intercepted = interceptSend(c.chains[method.Name], m.public, method.Desc, m.publish)
	return m
}

// NewCommand is called by generated code.
func NewCommand[R any](conn *Conn, service protoreflect.ServiceDescriptor, name protoreflect.Name, id string) *Command[R] {
	h := commandHandle{id: id}
	if conn == nil {
		h.broken = asError(errors.New("aegis: the connection of a command is nil"))
		return &Command[R]{h}
	}
	desc, err := conn.specs().Of(service)
	switch {
	case err == nil && !wire.ValidCommandID(id):
		err = Errorf(CodeInvalidArgument, "%s is no id of a command; use what ID returned", quote(id))
	case err == nil:
		if m := desc.Method(string(name)); m != nil && m.Command != nil {
			if memory := conn.memory(); memory.Memory != nil {
				h.command, h.method = memory.Command(m, desc.Name, id), m
				return &Command[R]{h}
			}
			h.command, h.method = conn.commandsOf(desc).listener.Command(m.Name, id), m
			return &Command[R]{h}
		}
		err = Errorf(CodeUnimplemented, "%s.%s is no command in the descriptor: the generated files of messages and services "+
			"are of different versions; run buf generate", desc.Name, name)
	}
	h.broken = asError(err)
	return &Command[R]{h}
}

// NewPublisher is called by generated code.
func NewPublisher(conn *Conn, service protoreflect.ServiceDescriptor, opts ...PublisherOption) (*Publisher, error) {
	if conn == nil {
		return nil, errors.New("aegis: the connection of a publisher is nil")
	}
	desc, err := specs.Read(service)
	if err != nil {
		return nil, err
	}
	p := &Publisher{conn: conn, service: desc}
	if err := applyOptions(opts, func(o PublisherOption) error { return o.applyPublisher(&p.cfg) }); err != nil {
		return nil, err
	}
	p.cfg.interceptors = conn.intoMemory(desc, p.cfg.interceptors)
	if p.chains, err = chainsOf(nil, p.cfg.interceptors, desc, SidePublisher); err != nil {
		return nil, err
	}
	if desc.EventStorage != nil {
		p.stream = conn.openStream(conn.layout().Events(desc, p.cfg.storage.settings()),
			p.cfg.storage.policy(func(text string) { conn.logger.Warn("aegis: " + text) }))
		conn.void.Use(wire.KindLog)
	} else if err := checkPublisherOptions(desc, &p.cfg); err != nil {
		return nil, err
	}
	conn.describes(service)
	p.async = stores.NewSender(conn.async, &p.stream.Stream, "events of "+desc.Name, cmp.Or(p.cfg.maxInFlight, defaultMaxInFlight))
	conn.patterns.Use(desc)
	return p, nil
}

// NewCoreEvent is called by generated code.
func NewCoreEvent[E any](p *Publisher, name protoreflect.Name) *CoreEvent[E] {
	e := &CoreEvent[E]{newEventMethod(p, name)}
	e.intercept(e.publishCore)
	return e
}

// NewDurableEvent is called by generated code.
func NewDurableEvent[E any](p *Publisher, name protoreflect.Name) *DurableEvent[E] {
	e := &DurableEvent[E]{newEventMethod(p, name)}
	e.intercept(e.publishDurable)
	return e
}

// LeadingHandler is called by generated code.
func LeadingHandler[S any](onLeading func(S, context.Context, Term) error) Handler[S] {
	return Handler[S]{
		name: "OnLeading", leading: onLeading,
		find: func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("OnLeading") },
	}
}

// UnaryHandler is called by generated code.
func UnaryHandler[S, Req, Res any](name protoreflect.Name, call func(S, context.Context, *Req) (*Res, error)) Handler[S] {
	return Handler[S]{
		name:    name,
		request: func() proto.Message { return any(new(Req)).(proto.Message) }, //nolint:forcetypeassert // generated code passes messages
		response: func(out proto.Message) bool {
			res, ok := any(out).(*Res)
			return ok && res != nil
		},
		bind: func(impl S) UnaryFunc {
			return func(ctx context.Context, in proto.Message) (proto.Message, error) {
				req, ok := any(in).(*Req)
				if !ok {
					return nil, Errorf(CodeInternal, "an interceptor of the server passed on a request of type %T in place of %T to %s", in, req, name)
				}
				res, err := call(impl, ctx, req)
				if err != nil {
					return nil, ofHandler(err)
				}
				if res == nil {
					return nil, Errorf(CodeInternal, "the handler of %s returned neither a response nor an error", name)
				}
				return any(res).(proto.Message), nil //nolint:forcetypeassert // see above
			}
		},
	}
}

// ServerStreamHandler makes the Handler of a method with one request and a stream of
// responses. It is called by generated code.
func ServerStreamHandler[S, Req, Res any](name protoreflect.Name, call func(S, context.Context, *Req, Sender[Res]) error) Handler[S] {
	return Handler[S]{name: name, stream: func(impl S) ServerStreamFunc {
		return func(ctx context.Context, s AnyStream) error {
			out, err := newSender[Res](ctx, s, name)
			if err != nil {
				return err
			}
			req, err := recvMessage[Req](s)
			if err == io.EOF { //nolint:errorlint // only the end itself is one
				return Errorf(CodeInternal, "an interceptor of the server kept the request from %s", name)
			} else if err != nil {
				return err
			}
			return ofHandler(call(impl, ctx, req, out))
		}
	}}
}

// ClientStreamHandler makes the Handler of a method with a stream of requests and one
// response. It is called by generated code.
func ClientStreamHandler[S, Req, Res any](name protoreflect.Name, call func(S, context.Context, Receiver[Req]) (*Res, error)) Handler[S] {
	return Handler[S]{name: name, stream: func(impl S) ServerStreamFunc {
		return func(ctx context.Context, s AnyStream) error {
			in, err := newHandlerReceiver[Req](ctx, s, name)
			if err != nil {
				return err
			}
			res, err := call(impl, ctx, in)
			switch {
			case err != nil:
				return ofHandler(err)
			case res == nil:
				return Errorf(CodeInternal, "the handler of %s returned neither a response nor an error", name)
			}
			return sendMessage(s, res)
		}
	}}
}

// BidiStreamHandler makes the Handler of a method with a stream in each direction. It is
// called by generated code.
func BidiStreamHandler[S, Req, Res any](name protoreflect.Name, call func(S, context.Context, Receiver[Req], Sender[Res]) error) Handler[S] {
	return Handler[S]{name: name, stream: func(impl S) ServerStreamFunc {
		return func(ctx context.Context, s AnyStream) error {
			in, err := newHandlerReceiver[Req](ctx, s, name)
			if err != nil {
				return err
			}
			out, err := newSender[Res](ctx, s, name)
			if err != nil {
				return err
			}
			return ofHandler(call(impl, ctx, in, out))
		}
	}}
}

// NewEventHandler is called by generated code.
func NewEventHandler[E any](name protoreflect.Name, handle func(context.Context, *E) error) EventHandler {
	h := EventHandler{
		name:    name,
		message: func() proto.Message { return any(new(E)).(proto.Message) }, //nolint:forcetypeassert // generated code passes messages
	}
	if handle == nil {
		return h
	}
	h.handle = func(ctx context.Context, in proto.Message) (proto.Message, error) {
		ev, ok := any(in).(*E)
		if !ok {
			return nil, Errorf(CodeInternal, "an interceptor of the subscriber passed on an event of type %T in place of %T to %s", in, ev, name)
		}
		if err := handle(ctx, ev); err != nil {
			return nil, err
		}
		return &emptypb.Empty{}, nil
	}
	return h
}

// RegisterService is called by generated code.
func RegisterService[S any](srv *Server, desc protoreflect.ServiceDescriptor, impl S, handlers []Handler[S], opts ...ServiceOption) error {
	if srv == nil {
		return errors.New("aegis: the server to register with is nil")
	}
	service, err := specs.Read(desc)
	if err != nil {
		return err
	}
	if any(impl) == nil {
		return fmt.Errorf("aegis: the implementation of %s is nil", service.Name)
	}
	s, err := newService(srv, service, opts)
	if err != nil {
		return err
	}
	if err := checkCommandOptions(s); err != nil {
		return err
	}
	for _, h := range handlers {
		if h.leading != nil {
			if _, err := h.implements(impl); err != nil {
				return fmt.Errorf("aegis: register %s: %w", service.Name, err)
			}
			s.onLeading = func(ctx context.Context, t Term) error { return h.leading(impl, ctx, t) }
			continue
		}
		m := s.find(string(h.name))
		if m == nil {
			return fmt.Errorf("aegis: %s.%s is not in the descriptor: the generated files of messages and services are of different versions; run buf generate",
				service.Name, h.name)
		}
		if (h.stream != nil) != m.method.Streaming() {
			return fmt.Errorf("aegis: %s.%s is not of the kind that the descriptor says: the generated files of messages and services "+
				"are of different versions; run buf generate", service.Name, h.name)
		}
		has, err := h.implements(impl)
		if err != nil {
			return fmt.Errorf("aegis: register %s: %w", service.Name, err)
		}
		s.offerIf(m, has)
		if h.stream != nil {
			m.stream = srv.cfg.redact.stream(srv.logger, wrapped(Interceptor.WrapServerStream, h.stream(impl), s.chains[m.method.Name]))
			continue
		}
		m.request = h.request
		m.response = h.response
		m.handle = srv.cfg.redact.unary(srv.logger, wrapped(Interceptor.WrapUnary, h.bind(impl), s.chains[m.method.Name]))
	}
	if s.stubs && !s.lacking {
		return invalidOption("WithUnimplemented: the implementation of %s lacks no method", service.Name)
	}
	srv.conn.describes(desc)
	return srv.register(s, commandWork)
}

// SubscribeEvents is called by generated code.
func SubscribeEvents(srv *Server, desc protoreflect.ServiceDescriptor, handlers []EventHandler, opts ...SubscribeOption) error {
	if srv == nil {
		return errors.New("aegis: the server to subscribe with is nil")
	}
	service, err := specs.Read(desc)
	if err != nil {
		return err
	}
	cfg := subscribeConfig{}
	if err := applyOptions(opts, func(o SubscribeOption) error { return o.applySubscribe(&cfg) }); err != nil {
		return err
	}
	chains, err := chainsOf(srv.cfg.interceptors, cfg.interceptors, service, SideSubscriber)
	if err != nil {
		return err
	}
	var subs []*subscription
	for _, h := range handlers {
		if h.handle == nil {
			continue
		}
		sub, err := newSubscription(srv, service, h, &cfg, chains[string(h.name)])
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	if len(subs) == 0 {
		return fmt.Errorf("aegis: no event of %s has a handler", service.Name)
	}
	if err := checkDurable(service, subs, &cfg); err != nil {
		return err
	}
	srv.conn.describes(desc)
	return srv.addSubscriptions(subs)
}

// FoundBy is called by generated code: find looks the method up by a constant
// name.
func (h Handler[S]) FoundBy(find func(reflect.Type) (reflect.Method, bool)) Handler[S] {
	h.find = find
	return h
}
