// Package offer decides which methods of a service an instance offers: the calls that it
// subscribes to, and the commands that it takes. The program may leave out either. The
// package refuses options that would do nothing, or leave nothing.
package offer

import (
	"fmt"
	"slices"

	"github.com/aegisrpc/aegis/internal/spec"
)

// Options are what the program has said of a registration.
type Options struct {
	WithoutCalls, WithoutCommands bool

	// The other options that were given. They are for calls, for commands, or for
	// methods of a leader, and do nothing where none of these is left.
	MaxConcurrency, Storage, Election bool
}

// Serves reports whether the options leave a method. Events are handled by
// subscribers, not by the service.
func (o *Options) Serves(m *spec.Method) bool {
	switch m.Pattern {
	case spec.Event:
		return false
	case spec.Command:
		return !o.WithoutCommands
	default:
		return !o.WithoutCalls
	}
}

// Check returns an error if an option does nothing for the service, or if nothing of the
// service is left.
func (o *Options) Check(service *spec.Service) error {
	calls, commands := kinds(service)
	refuse := func(text string) error { return fmt.Errorf(text, service.Name) }
	switch {
	case o.WithoutCommands && !commands:
		return refuse("WithoutCommands: %s has no command")
	case o.WithoutCommands && !calls:
		return refuse("WithoutCommands: nothing of %s is left; leave the registration out")
	case o.WithoutCalls && !calls:
		return refuse("WithoutCalls: %s has nothing that is called")
	case o.WithoutCommands && o.WithoutCalls:
		return refuse("WithoutCalls and WithoutCommands: nothing of %s is left")
	case o.WithoutCalls && !commands:
		return refuse("WithoutCalls: %s has no command, so that nothing of it is left")
	case o.WithoutCommands && o.Storage:
		return refuse("WithStorage and WithoutCommands: it is about the commands of %s, which are not taken")
	case o.MaxConcurrency && !o.bounded(service):
		return refuse("WithMaxConcurrency: %s has neither a unary call nor a command here; leave it out")
	case !o.WithoutCalls && !o.WithoutCommands:
		return nil
	}
	if err := o.checkLeaders(service); err != nil {
		return err
	}
	if o.Election && !o.elected(service) {
		return refuse("WithElection: nothing of %s is left that a leader does")
	}
	return nil
}

// bounded reports whether the options leave a method whose handlers have a bound: a stream
// has none.
func (o *Options) bounded(service *spec.Service) bool {
	return slices.ContainsFunc(service.Methods, func(m *spec.Method) bool {
		return o.Serves(m) && (m.Pattern == spec.Command || !m.Streaming())
	})
}

// kinds tells which kinds of methods a service has.
func kinds(service *spec.Service) (calls, commands bool) {
	for _, m := range service.Methods {
		calls = calls || m.Pattern != spec.Event && m.Pattern != spec.Command
		commands = commands || m.Pattern == spec.Command
	}
	return calls, commands
}

// checkLeaders refuses to leave half a leader: a group of which some methods are
// offered and some are not.
func (o *Options) checkLeaders(service *spec.Service) error {
	for _, m := range service.Methods {
		if m.Group == "" || o.Serves(m) {
			continue
		}
		for _, other := range service.Methods {
			if other.Group == m.Group && o.Serves(other) {
				option := "WithoutCalls"
				if o.WithoutCommands {
					option = "WithoutCommands"
				}
				return fmt.Errorf("%s: the group %s of %s has %s as well as %s, and its leader has to do both; give them groups of their own",
					option, m.Group, service.Name, m.Name, other.Name)
			}
		}
	}
	return nil
}

// elected reports whether a method is left that a leader does.
func (o *Options) elected(service *spec.Service) bool {
	for _, m := range service.Methods {
		if m.Group != "" && o.Serves(m) {
			return true
		}
	}
	return false
}
