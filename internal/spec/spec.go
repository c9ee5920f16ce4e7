// Package spec reads the Aegis options of a service descriptor, checks them and fills
// in the defaults. The generator and the runtime both work with its [Service]; no
// other package knows what an absent option means.
package spec

import (
	"errors"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Pattern is the way in which the messages of a method reach their handlers. A method
// has exactly one.
type Pattern int

const (
	// LoadBalanced has one instance handle a call, whichever is best.
	LoadBalanced Pattern = iota + 1
	// SingleActive has the leader of the method's group handle a call.
	SingleActive
	// Broadcast has every instance handle a call.
	Broadcast
	// Event has the subscribers of an event handle it.
	Event
	// Command has a worker handle a message that is stored.
	Command
)

// String returns the pattern as sentences name it, such as "load balanced".
func (p Pattern) String() string {
	switch p {
	case LoadBalanced:
		return "load balanced"
	case SingleActive:
		return "single active"
	case Broadcast:
		return "broadcast"
	case Event:
		return "event"
	case Command:
		return "command"
	default:
		return "unknown pattern"
	}
}

// Service is a service with the values of its options, defaults filled in. Neither a
// Service nor anything that it points to changes after FromDescriptor has returned it,
// so goroutines share it.
type Service struct {
	Desc           protoreflect.ServiceDescriptor
	Name           string        // full name: echo.v1.EchoService
	Version        string        // semantic version
	Timeout        time.Duration // of calls whose method has none of its own, and of publishing
	MaxConcurrency int           // unary handlers that run at once in one instance
	Methods        []*Method     // in the order of the .proto file

	Election       *Election // nil if no method or command is single active
	EventStorage   *Storage  // nil if no event is durable
	CommandStorage *Storage  // nil if no method is a command
}

// Method is a method with the values of its options, defaults filled in.
type Method struct {
	Desc         protoreflect.MethodDescriptor
	Name         string // short name: Echo
	Pattern      Pattern
	PatternPlace Place         // the option that sets the pattern; the method's options as a whole if none does
	Timeout      time.Duration // 0 if a call has none: of streams without the option, of events and commands
	Idempotent   bool          // idempotency_level is NO_SIDE_EFFECTS or IDEMPOTENT
	Retry        Retry         // of calls; MaxAttempts is 1 if a call is never tried again

	Group           string                         // of a single active method or command; else ""
	StickyField     []protoreflect.FieldDescriptor // the path from the request to the field; nil for none
	PreferZone      bool                           // calls stay within the zone of their caller while they can
	MaxMessageBytes int                            // 0 if messages do not travel in chunks
	Event           *EventSpec                     // nil unless the method is an event
	Command         *CommandSpec                   // nil unless the method is a command
}

// Method returns the method of this name; nil if the service has none.
func (s *Service) Method(name string) *Method {
	for _, m := range s.Methods {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Streaming reports whether the requests or the responses of the method are a stream.
func (m *Method) Streaming() bool {
	return m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer()
}

// OrNone returns m; for nil, a method without name and pattern.
func OrNone(m *Method) *Method {
	if m == nil {
		return &Method{}
	}
	return m
}

// Durable reports whether the messages of the method are stored.
func (m *Method) Durable() bool {
	return m.Command != nil || m.Event != nil && m.Event.Durable
}

// FromDescriptor reads and checks the Aegis options of a service and of its methods.
// The error joins a [Problem] for each mistake: [Problems] returns them.
func FromDescriptor(desc protoreflect.ServiceDescriptor) (*Service, error) {
	c := &checker{}
	s := c.service(desc)
	if len(c.problems) == 0 {
		return s, nil
	}
	errs := make([]error, len(c.problems))
	for i, p := range c.problems {
		errs[i] = p
	}
	return nil, errors.Join(errs...)
}
