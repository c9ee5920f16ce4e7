package aegis

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/provider"
)

// What an instance offers of a service: the calls that it subscribes to, and the
// commands that it takes. A method that it cannot do is not offered, as another
// instance may do it.

// WithoutCommands has the instance serve the calls of the service and take none
// of its commands. It is an error for a service without commands, together with
// WithoutCalls, and where calls and commands share a leader. Default: it takes
// the commands that the implementation has.
func WithoutCommands() ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		c.withoutCommands = true
		return nil
	})
}

// WithoutCalls has the instance work the commands of the service and serve none
// of its calls, streams and broadcasts, for processes that are workers alone. It
// is an error for a service without commands or without calls, together with
// WithoutCommands, and where calls and commands share a leader. Default: it
// serves the calls that the implementation has.
func WithoutCalls() ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		c.withoutCalls = true
		return nil
	})
}

// WithUnimplemented has the instance offer also what its implementation has from
// the generated Unimplemented server, for interceptors that answer in the place of
// handlers. Where none does, callers get CodeUnimplemented, and commands fail. It
// is an error if the implementation has all methods. Default: what is not
// implemented is neither subscribed to nor taken, as other instances may have it.
func WithUnimplemented() ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		c.unimplemented = true
		return nil
	})
}

// kinds tells what a service has.
func kinds(desc *spec.Service) (calls, commands bool) {
	for _, m := range desc.Methods {
		calls = calls || m.Pattern != spec.Event && m.Pattern != spec.Command
		commands = commands || m.Pattern == spec.Command
	}
	return calls, commands
}

// checkOffer refuses options that would do nothing, or leave nothing.
func checkOffer(desc *spec.Service, cfg *serviceConfig) error {
	calls, commands := kinds(desc)
	switch {
	case cfg.withoutCommands && !commands:
		return invalidOption("WithoutCommands: %s has no command", desc.Name)
	case cfg.withoutCommands && !calls:
		return invalidOption("WithoutCommands: nothing of %s is left; leave the registration out", desc.Name)
	case cfg.withoutCalls && !calls:
		return invalidOption("WithoutCalls: %s has nothing that is called", desc.Name)
	case cfg.withoutCommands && cfg.withoutCalls:
		return invalidOption("WithoutCalls and WithoutCommands: nothing of %s is left", desc.Name)
	case cfg.withoutCalls && !commands:
		return invalidOption("WithoutCalls: %s has no command, so that nothing of it is left", desc.Name)
	case cfg.withoutCommands && cfg.concurrency != 0:
		return invalidOption("WithConcurrency and WithoutCommands: it is about the commands of %s, which are not taken; use WithMaxConcurrency for calls", desc.Name)
	case cfg.withoutCommands && cfg.storage != (Storage{}):
		return invalidOption("WithStorage and WithoutCommands: it is about the commands of %s, which are not taken", desc.Name)
	case cfg.withoutCalls && cfg.callsAtOnce:
		return invalidOption("WithMaxConcurrency and WithoutCalls: it is about the calls of %s, which are not served; use WithConcurrency for commands", desc.Name)
	}
	if !cfg.withoutCalls && !cfg.withoutCommands {
		return nil
	}
	if err := checkShared(desc, cfg); err != nil {
		return err
	}
	if cfg.election != (election.Config{}) && !cfg.elected(desc) {
		return invalidOption("WithElection: nothing of %s is left that a leader does", desc.Name)
	}
	return nil
}

// checkShared refuses half a leader.
func checkShared(desc *spec.Service, cfg *serviceConfig) error {
	for _, m := range desc.Methods {
		if m.Group == "" || cfg.serves(m) {
			continue
		}
		for _, other := range desc.Methods {
			if other.Group == m.Group && cfg.serves(other) {
				option := "WithoutCalls"
				if cfg.withoutCommands {
					option = "WithoutCommands"
				}
				return invalidOption("%s: the group %s of %s has %s as well as %s, and its leader has to do both; give them groups of their own",
					option, m.Group, desc.Name, m.Name, other.Name)
			}
		}
	}
	return nil
}

// serves reports whether the options leave a method.
func (c *serviceConfig) serves(m *spec.Method) bool {
	switch m.Pattern {
	case spec.Event:
		return false // those are handled by subscribers
	case spec.Command:
		return !c.withoutCommands
	default:
		return !c.withoutCalls
	}
}

func (c *serviceConfig) elected(desc *spec.Service) bool {
	for _, m := range desc.Methods {
		if m.Group != "" && c.serves(m) {
			return true
		}
	}
	return false
}

// stubOf tells the type that generated code has for embedding into
// implementations of the interface S. Its name is made by the generator.
func stubOf[S any]() func(reflect.Type) bool {
	face := reflect.TypeFor[S]()
	name := "Unimplemented" + face.Name()
	return func(t reflect.Type) bool { return t.Name() == name && t.PkgPath() == face.PkgPath() }
}

// implements reports whether somebody has written the handler for impl, as far as
// that can be told before it is called.
func (h Handler[S]) implements(impl S) (bool, error) {
	if h.find == nil {
		return true, nil // generated by an earlier version
	}
	switch provider.Of(impl, h.find, stubOf[S]()) {
	case provider.Stub:
		return false, nil
	case provider.Nil:
		return false, fmt.Errorf("a nil pointer or interface is embedded in %T that %s would be called on, which is a panic; "+
			"embed %s by value, or set what is embedded",
			impl, h.name, "Unimplemented"+reflect.TypeFor[S]().Name())
	default:
		return true, nil
	}
}

// offerOf decides whether a method is offered of which it is known whether the
// implementation has it.
func (s *service) offerOf(m *serverMethod, has bool) {
	if has {
		return
	}
	s.lacking = true
	if !s.stubs && m.served {
		m.served, m.missing = false, true
	}
}

// told logs what is not offered, once.
func (s *service) told(srv *Server) {
	var missing []string
	offered := false
	for _, m := range s.methods {
		offered = offered || m.served
		if m.missing {
			missing = append(missing, m.spec.Method)
		}
	}
	log := srv.logger.With("service", s.spec.Name, "methods", strings.Join(missing, " "))
	switch {
	case len(missing) == 0:
	case !offered:
		log.Warn("aegis: the implementation has no method of this service, so that nothing of it is offered")
	default:
		log.Info("aegis: the implementation lacks methods; they are not offered, and other instances get their calls and commands")
	}
}

// offer subscribes to the calls of a method.
func (s *Server) offer(m *serverMethod) error {
	subject, queue := s.conn.subjects.Call(m.service.spec.Name, m.spec.Method), wire.Queue
	switch {
	case !m.served:
		return nil
	case m.method.Pattern == spec.Broadcast:
		subject, queue = s.conn.subjects.All(m.service.spec.Name, m.spec.Method), ""
	case m.method.Pattern != spec.LoadBalanced:
		return nil
	}
	if err := s.deliver(subject, queue); err != nil {
		return err
	}
	m.sub.Store(s.subs[len(s.subs)-1])
	if m.withdrawn.Load() && m.method.Pattern != spec.Broadcast { // by a call that came at once
		m.unsubscribe()
	}
	return nil
}

// notImplementedError is why a generated Unimplemented server does nothing.
type notImplementedError struct{ method protoreflect.FullName }

func (e *notImplementedError) Error() string {
	return string(e.method) + " is not implemented by this server"
}

// Unimplemented is what the methods of a generated Unimplemented server return.
func Unimplemented(method protoreflect.FullName) error {
	e := &notImplementedError{method}
	return because(e, CodeUnimplemented, e.Error())
}

// lacks reports whether a handler's error says that the implementation lacks the
// method after all, which could not be seen when it was registered.
func (m *serverMethod) lacks(err error) bool {
	e, ok := errors.AsType[*notImplementedError](err)
	return ok && e.method == m.method.Desc.FullName() && !m.service.stubs
}

// withdraw stops offering a method that is not implemented. It reports whether
// that is news.
func (s *Server) withdraw(m *serverMethod) bool {
	if m.withdrawn.Swap(true) {
		return false
	}
	s.logger.Warn("aegis: a method is not implemented by this instance; it takes no more of its calls or commands", "method", m.spec.name())
	return true
}

// unsubscribe has NATS send no more calls; those that are here already are
// answered as the first one was.
func (m *serverMethod) unsubscribe() {
	if sub := m.sub.Load(); sub != nil {
		_ = sub.Drain() // fails only if it is gone already
	}
}

// withdrawCall stops taking the calls of a method, and returns the answer to one:
// the client may try another instance. Of a broadcast each instance is awaited that
// is known to have it, so that this one goes on answering.
func (s *Server) withdrawCall(m *serverMethod, err *Error) *Error {
	switch {
	case m.method.Pattern != spec.Broadcast:
		if s.withdraw(m) {
			m.unsubscribe()
		}
	case !m.withdrawn.Swap(true):
		s.logger.Warn("aegis: a broadcast is not implemented by this instance, which answers so", "method", m.spec.name())
	}
	e := *err
	e.st.Reason = ReasonNoMethod
	return &e
}
