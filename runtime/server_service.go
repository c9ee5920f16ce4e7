package aegis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/monitor"
	"github.com/aegisrpc/aegis/runtime/internal/provider"
)

// Handler is the handler of one method, for implementations S of its service. Generated
// code makes the handlers.
type Handler[S any] struct {
	name    protoreflect.Name
	request func() proto.Message
	// response reports whether a message is a response of the method: interceptors may
	// return any message.
	response func(proto.Message) bool
	bind     func(impl S) UnaryFunc               // nil for streams and OnLeading
	stream   func(impl S) ServerStreamFunc        // nil for all but streams
	leading  func(S, context.Context, Term) error // nil for all but OnLeading
	find     provider.Lookup                      // finds the method; nil if an earlier version generated the code
}

// service is a registered service.
type service struct {
	desc           *spec.Service
	chains         map[string][]Interceptor // by method
	methods        []*serverMethod
	max            int64        // the most unary handlers at once
	running        atomic.Int64 // the unary handlers that run now
	load           monitor.Load
	election       election.Config
	storage        Storage                           // of the commands
	commandsAtOnce int                               // handlers of the commands of each method
	onLeading      func(context.Context, Term) error // nil without single active methods
	recorder       *health.Recorder
	lacking        bool // the implementation does not have all methods
	stubs          bool // those that it does not have are offered all the same

	// The refusal of a call that exceeds max. It is made when the server starts.
	overload      *Error
	overloadReply *handling.Refusal
}

// serverMethod is a registered method.
type serverMethod struct {
	service *service
	method  *spec.Method
	public  Method
	name    string // the full name, from spec
	request func() proto.Message
	// response reports whether a message is a response of the method.
	response func(proto.Message) bool
	handle   UnaryFunc        // the handler within its interceptors; nil for streams
	stream   ServerStreamFunc // the same of a stream; nil for all else
	stats    methodStats

	served    bool                              // the instance offers the method
	missing   bool                              // it does not, as the implementation does not have the method
	withdrawn atomic.Bool                       // a call showed that the method is not implemented
	sub       atomic.Pointer[nats.Subscription] // to the calls of the method
}

// newService makes a service from its descriptor and the options of its registration.
func newService(srv *Server, desc *spec.Service, opts []ServiceOption) (*service, error) {
	cfg := serviceConfig{maxConcurrency: desc.MaxConcurrency}
	if err := applyOptions(opts, func(o ServiceOption) error { return o.applyService(&cfg) }); err != nil {
		return nil, err
	}
	cfg.offer.Storage = cfg.storage != (Storage{})
	cfg.offer.Election = cfg.election != (election.Config{})
	if err := refusedOption(cfg.offer.Check(desc)); err != nil {
		return nil, err
	}
	chains, err := chainsOf(srv.cfg.interceptors, cfg.interceptors, desc, SideServer)
	if err != nil {
		return nil, err
	}
	recorder, err := health.NewRecorder(health.Config{}, time.Now())
	if err != nil {
		return nil, err
	}
	commandsAtOnce := defaultCommandConcurrency
	if cfg.offer.MaxConcurrency {
		commandsAtOnce = min(cfg.maxConcurrency, mostHandlers)
	}
	s := &service{
		desc: desc, chains: chains, max: int64(cfg.maxConcurrency), recorder: recorder,
		storage: cfg.storage, commandsAtOnce: commandsAtOnce, stubs: cfg.unimplemented,
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
		method := &serverMethod{service: s, method: m, public: publicMethod(desc, m, SideServer), served: cfg.offer.Serves(m)}
		method.name = method.public.FullName()
		if m.Pattern != spec.Event { // subscribers handle events, and count them
			method.stats.Health = recorder.Method(m.Name)
		}
		if m.Command != nil || m.Desc.IsStreamingClient() { // the time that the work, or the caller, takes
			method.stats.Health.Unrate()
		}
		s.methods = append(s.methods, method)
	}
	return s, nil
}

// electionConfig returns the timing of an election: that of the program, and for what
// the program leaves out, that of the proto.
func electionConfig(proto *spec.Election, program election.Config) election.Config {
	program.Lease = cmp.Or(program.Lease, proto.Lease)
	program.Window = cmp.Or(program.Window, proto.ActWindow)
	program.Probe = cmp.Or(program.Probe, proto.ProbeInterval)
	return program
}

// groups returns the single active groups that the instance has methods of, each with
// those of its methods that are called: commands come in another way.
func (s *service) groups() map[string][]*serverMethod {
	groups := make(map[string][]*serverMethod)
	for _, m := range s.methods {
		switch {
		case !m.served:
		case m.method.Pattern == spec.SingleActive:
			groups[m.method.Group] = append(groups[m.method.Group], m)
		case m.method.Group != "": // a command
			groups[m.method.Group] = append(groups[m.method.Group], nil...)
		}
	}
	return groups
}

// find returns a method by its name, or nil.
func (s *service) find(method string) *serverMethod {
	for _, m := range s.methods {
		if m.public.Name == method {
			return m
		}
	}
	return nil
}

// methodNames returns the names of the methods that the instance offers, in order. It
// never returns nil, which would mean that they are not known.
func (s *service) methodNames() []string {
	names := make([]string, 0, len(s.methods))
	for _, m := range s.methods {
		if m.served || m.method.Pattern == spec.Event {
			names = append(names, m.public.Name)
		}
	}
	slices.Sort(names)
	return names
}

// complete returns an error if a method has no handler.
func (s *service) complete() error {
	var missing []string
	for _, m := range s.methods {
		if m.handle == nil && m.stream == nil && m.method.Pattern != spec.Event {
			missing = append(missing, m.public.Name)
		}
	}
	if s.desc.Election != nil && s.onLeading == nil {
		missing = append(missing, "OnLeading")
	}
	if len(missing) > 0 {
		return fmt.Errorf("aegis: %s has no handler for %s: the generated files of messages and services are of different versions; run buf generate",
			s.desc.Name, strings.Join(missing, ", "))
	}
	return nil
}
