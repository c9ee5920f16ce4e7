package aegis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/health"
)

// Handler is one method of an implementation S of a service. Generated code
// makes them.
type Handler[S any] struct {
	name    protoreflect.Name
	request func() proto.Message
	// response reports whether what interceptors returned is a response.
	response func(proto.Message) bool
	bind     func(impl S) UnaryFunc
	leading  func(S, context.Context, Term) error // alone, for OnLeading
	stream   func(impl S) ServerStreamFunc        // in place of bind, for streams
}

// LeadingHandler is called by generated code.
func LeadingHandler[S any](onLeading func(S, context.Context, Term) error) Handler[S] {
	return Handler[S]{leading: onLeading}
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
					return nil, err
				}
				if res == nil {
					return nil, Errorf(CodeInternal, "the handler of %s returned neither a response nor an error", name)
				}
				return any(res).(proto.Message), nil //nolint:forcetypeassert // see above
			}
		},
	}
}

// RegisterService is called by generated code.
func RegisterService[S any](srv *Server, desc protoreflect.ServiceDescriptor, impl S, handlers []Handler[S], opts ...ServiceOption) error {
	if srv == nil {
		return errors.New("aegis: the server to register with is nil")
	}
	service, err := serviceSpec(desc)
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
	for _, h := range handlers {
		if h.leading != nil {
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
		if h.stream != nil {
			m.stream = wrapServerStream(h.stream(impl), s.interceptors)
			continue
		}
		m.request = h.request
		m.response = h.response
		m.handle = wrapUnary(h.bind(impl), s.interceptors)
	}
	return srv.register(s)
}

// Unimplemented is what the methods of a generated Unimplemented server return.
func Unimplemented(method protoreflect.FullName) error {
	return Errorf(CodeUnimplemented, "%s is not implemented by this server", method)
}

type serviceConfig struct {
	maxConcurrency int
	interceptors   []Interceptor
	election       election.Config // what is zero is as the proto says
	storage        Storage         // of commands
	concurrency    int             // of commands; 0: the default
}

// service is a registered service.
type service struct {
	spec         *spec.Service
	interceptors []Interceptor
	methods      []*serverMethod
	max          int64
	running      atomic.Int64 // handlers
	meter        loadMeter
	election     election.Config
	storage      Storage                           // of commands
	concurrency  int                               // of each command
	onLeading    func(context.Context, Term) error // nil without single active methods
	recorder     *health.Recorder

	// The refusal of what exceeds max, made when the server starts.
	overload       *Error
	overloadHeader nats.Header
	overloadBody   []byte
}

// serverMethod is a registered method.
type serverMethod struct {
	service *service
	method  *spec.Method
	spec    Spec
	request func() proto.Message
	// response tells responses from what an interceptor made up.
	response func(proto.Message) bool
	handle   UnaryFunc        // with its interceptors
	stream   ServerStreamFunc // in its place, for streams
	stats    methodStats
}

func newService(srv *Server, desc *spec.Service, opts []ServiceOption) (*service, error) {
	cfg := serviceConfig{
		maxConcurrency: desc.MaxConcurrency,
		interceptors:   append([]Interceptor(nil), srv.cfg.interceptors...),
	}
	for _, o := range opts {
		if err := o.applyService(&cfg); err != nil {
			return nil, err
		}
	}
	if err := checkCommandOptions(desc, &cfg); err != nil {
		return nil, err
	}
	recorder, err := health.NewRecorder(health.Config{}, time.Now())
	if err != nil {
		return nil, err
	}
	s := &service{
		spec: desc, interceptors: cfg.interceptors, max: int64(cfg.maxConcurrency), recorder: recorder,
		storage: cfg.storage, concurrency: cfg.concurrency,
	}
	if desc.Election != nil {
		s.election = electionConfig(desc.Election, cfg.election)
		if err := s.election.Validate(); err != nil {
			return nil, fmt.Errorf("%w: service %s: %w", ErrInvalidOption, desc.Name, err)
		}
	} else if cfg.election != (election.Config{}) {
		return nil, invalidOption("WithElection: %s has no single active method", desc.Name)
	}
	for _, m := range desc.Methods {
		method := &serverMethod{service: s, method: m, spec: publicSpec(desc, m)}
		if m.Pattern != spec.Event { // those are handled by subscribers
			method.stats.health = recorder.Method(m.Name)
		}
		s.methods = append(s.methods, method)
	}
	return s, nil
}

// electionConfig is what the proto says, with what the program says instead.
func electionConfig(proto *spec.Election, program election.Config) election.Config {
	c := program
	if c.Lease == 0 {
		c.Lease = proto.Lease
	}
	if c.Window == 0 {
		c.Window = proto.ActWindow
	}
	if c.Probe == 0 {
		c.Probe = proto.ProbeInterval
	}
	return c
}

// groups are the single active groups of the service, each with its methods.
func (s *service) groups() map[string][]*serverMethod {
	groups := make(map[string][]*serverMethod)
	for _, m := range s.methods {
		switch {
		case m.method.Pattern == spec.SingleActive:
			groups[m.method.Group] = append(groups[m.method.Group], m)
		case m.method.Group != "": // a command, which is not called
			groups[m.method.Group] = append(groups[m.method.Group], nil...)
		}
	}
	return groups
}

func (s *service) find(method string) *serverMethod {
	for _, m := range s.methods {
		if m.spec.Method == method {
			return m
		}
	}
	return nil
}

// complete returns an error if a method has no handler.
func (s *service) complete() error {
	var missing []string
	for _, m := range s.methods {
		if m.handle == nil && m.stream == nil && m.method.Pattern != spec.Event {
			missing = append(missing, m.spec.Method)
		}
	}
	if s.spec.Election != nil && s.onLeading == nil {
		missing = append(missing, "OnLeading")
	}
	if len(missing) > 0 {
		return fmt.Errorf("aegis: %s has no handler for %s: the generated files of messages and services are of different versions; run buf generate",
			s.spec.Name, strings.Join(missing, ", "))
	}
	return nil
}
