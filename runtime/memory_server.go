package aegis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/specs"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// runInMemory is Run of a server whose connection has a memory in the place of NATS.
func (s *Server) runInMemory(ctx context.Context, m inmemory.Memory) error {
	s.base, s.cancelBase = context.WithCancel(context.Background())
	defer s.cancelBase()
	stop := m.Serve(s.inMemory())
	s.setState(StateRunning)
	err := s.serveUntil(ctx)
	s.setState(StateStopping)
	grace, cancel := context.WithTimeout(context.Background(), s.cfg.grace)
	defer cancel()
	if stop(grace); grace.Err() != nil {
		err = errors.Join(err, fmt.Errorf("aegis: handlers still run after the grace period of %v", s.cfg.grace))
	}
	s.changes.Close()
	s.setState(StateStopped)
	return err
}

// inMemory returns what a memory needs of the server.
func (s *Server) inMemory() *inmemory.Server {
	origin := s.conn.standing.origin
	in := &inmemory.Server{
		Instance: s.cfg.instance, Base: s.base, Logger: s.logger,
		Led: func(i leader.Info, leading bool) { s.changes.tell(LeadershipChange{Term: Term(i), Leading: leading}) },
		Info: selection.Info{
			ID: s.cfg.instance, Process: s.process, State: selection.StateRunning,
			Zone: origin.Zone, Build: origin.Build, Labels: origin.Labels, Reserved: s.conn.standing.reserved,
		},
	}
	for _, service := range s.services {
		in.Services = append(in.Services, service.inMemory(s))
	}
	for _, w := range s.work {
		if r, ok := w.(subscriptionRunner); ok {
			in.Subscriptions = append(in.Subscriptions, r.of().inMemory())
		}
	}
	return in
}

func (s *service) inMemory(srv *Server) *inmemory.Service {
	in := &inmemory.Service{Spec: s.desc, Methods: make(map[string]*inmemory.Method), CommandsAtOnce: s.commandsAtOnce}
	if s.onLeading != nil {
		in.OnLeading = func(ctx context.Context, info leader.Info) error {
			return s.onLeading(context.WithValue(ctx, termKey{}, Term(info)), Term(info))
		}
	}
	for _, m := range s.methods {
		if !m.served || m.method.Pattern == spec.Event {
			continue
		}
		method := &inmemory.Method{}
		if m.stream != nil {
			method.Stream = func(ctx context.Context, h *inmemory.Handling, st inmemory.Stream) error {
				c := handlingContext(ctx, h)
				c.stream = &handledInMemory{st, &c.call}
				return srv.handled(m.name, func() error { return m.stream(c, c.stream) })
			}
		} else {
			method.Unary = func(ctx context.Context, h *inmemory.Handling, req proto.Message) (res proto.Message, err error) {
				err = srv.handled(m.name, func() (err error) {
					res, err = m.handle(handlingContext(ctx, h), req)
					if err == nil && !m.response(res) {
						err = Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", m.name, res)
					}
					return err
				})
				return res, err
			}
		}
		in.Methods[m.public.Name] = method
	}
	return in
}

func (s *subscription) inMemory() *inmemory.Subscription {
	return &inmemory.Subscription{
		Service: s.service, Method: s.method, Consumer: s.consumer, Concurrency: s.concurrency(), Retry: s.retry,
		NoDeadLetters: s.cfg.noDeadLetters, From: s.cfg.from().reaches,
		Handle: func(ctx context.Context, h *inmemory.Handling, ev proto.Message) error {
			return s.server.handled(s.name, func() error {
				_, err := s.handle(handlingContext(ctx, h), ev)
				return err
			})
		},
	}
}

// reaches reports whether an event that was stored before belongs to a new group or instance
// that begins at p.
func (p Position) reaches(sequence uint64, stored time.Time) bool {
	switch p.kind {
	case startAll:
		return true
	case startSequence:
		return sequence >= p.sequence
	case startTime:
		return !stored.Before(p.time)
	default:
		return false
	}
}

// handled runs a handler, and makes an error of a panic.
func (s *Server) handled(name string, handle func() error) (err error) {
	s.guarded(name, func(e error) { err = e }, handle)
	return err
}

// handledInMemory is a handler's end of a stream.
type handledInMemory struct {
	inmemory.Stream
	call *Call
}

func (s *handledInMemory) Send(m proto.Message) error { return endOfStream(s.Stream.Send(m)) }
func (s *handledInMemory) Recv(m proto.Message) error { return endOfStream(s.Stream.Recv(m)) }
func (s *handledInMemory) CloseSend() error           { return nil }
func (s *handledInMemory) callOf() *Call              { return s.call }

// memoryContext is the context of a handler in a unit test.
type memoryContext struct {
	context.Context //nolint:containedctx // it is a context

	call     Call // its method is empty if the context has none
	term     *leader.Info
	job      *Job
	delivery *Delivery
	stream   *handledInMemory // nil unless the method is a stream
}

// handlingContext returns the context of a handler, and has h find the metadata of the
// response.
func handlingContext(ctx context.Context, h *inmemory.Handling) *memoryContext {
	c := &memoryContext{Context: ctx, term: h.Term}
	c.call = Call{instance: h.Instance, attempt: max(h.Attempt, 1), request: h.Header}
	if h.Method != nil {
		c.call.method = methodOf(h.Method)
	}
	if h.Term != nil {
		c.call.term = Term(*h.Term)
	}
	if h.Job != nil {
		c.job = &Job{ID: h.Job.ID, Attempt: h.Job.Attempt, report: h.Job.Report}
	}
	if h.Delivery != nil {
		c.delivery = (*Delivery)(h.Delivery)
	}
	h.Metadata = func() (header, trailer map[string][]string) { return c.call.response, c.call.trailer }
	return c
}

// methodOf returns the Method of a descriptor.
func methodOf(d protoreflect.MethodDescriptor) Method {
	m := Method{Name: string(d.Name()), Descriptor: d}
	if service, ok := d.Parent().(protoreflect.ServiceDescriptor); ok {
		m.Service = string(service.FullName())
		if s, err := specs.Read(service); err == nil && s.Method(m.Name) != nil {
			m = publicMethod(s, s.Method(m.Name), SideServer)
		}
	}
	if m.spec != nil && m.spec.Event != nil {
		m.side = SideSubscriber
	}
	return m
}

// Value returns to the functions ...FromContext what the context says.
func (c *memoryContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		if c.call.method.Name != "" {
			return &c.call
		}
	case termKey:
		if c.term != nil {
			return Term(*c.term)
		}
	case jobKey:
		if c.job != nil {
			return c.job
		}
	case deliveryKey:
		if c.delivery != nil {
			return c.delivery
		}
	case serverStreamKey:
		if c.stream != nil {
			return c.stream
		}
	}
	return c.Context.Value(key)
}

// follower is a *Command of any result.
type follower interface {
	follows(h inmemory.CommandHandle)
}

// Package aegistest does the rest.
var _ = inmemory.Provide(inmemory.Tests{
	Replace: func(conn any, m inmemory.Memory) {
		*conn.(*Conn).memory() = memory{ //nolint:forcetypeassert // aegistest passes nothing else
			Memory:      m,
			interceptor: func(s *spec.Service) Interceptor { return inMemory{m, s} },
			run:         func(ctx context.Context, srv any) error { return srv.(*Server).runInMemory(ctx, m) }, //nolint:forcetypeassert // see memory
		}
	},
	Context: func(ctx context.Context, h *inmemory.Handling) (context.Context, any) {
		c := handlingContext(ctx, h)
		return c, &c.call
	},
	Follow: func(command any, h inmemory.CommandHandle) {
		command.(follower).follows(h) //nolint:forcetypeassert // it is a *Command
	},
	Future: func(ack *stores.Ack, why *status.Status) any {
		f := &PubFuture{}
		f.flight.Land(ack, why)
		return f
	},
	Error:     func(why *status.Status) error { return errorOrNone(outward(why)) },
	Status:    func(err error) *status.Status { return errorOrNil(err).inward() },
	Handled:   func(err error) *status.Status { return handlerError(err).inward() },
	Permanent: IsPermanent,
})
