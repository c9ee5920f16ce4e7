// Package spec turns the Aegis options of a service descriptor into what the
// generator and the runtime work with: every default filled in, every check
// made. It is the one place that knows what an option means when it is absent.
package spec

import (
	"errors"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Pattern says who handles a method.
type Pattern int

// The patterns.
const (
	LoadBalanced Pattern = iota + 1
	SingleActive
	Broadcast
	Event
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

// Service is a service with its defaults filled in. It is shared and never
// changed once FromDescriptor has returned it; that holds for all that it
// points to.
type Service struct {
	Desc           protoreflect.ServiceDescriptor
	Name           string        // full name: echo.v1.EchoService
	Version        string        // semver
	Timeout        time.Duration // of calls and of publishing, where nothing else is said
	MaxConcurrency int           // unary handlers at once in one instance
	Methods        []*Method

	Election       *Election // nil: no single active method or command
	EventStorage   *Storage  // nil: no durable event
	CommandStorage *Storage  // nil: no command
}

// Method returns the method with this short name, or nil if the service has none.
func (s *Service) Method(name string) *Method {
	for _, m := range s.Methods {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Method is a method with its defaults filled in.
type Method struct {
	Desc       protoreflect.MethodDescriptor
	Name       string // short name: Echo
	Pattern    Pattern
	Timeout    time.Duration // 0: none (a stream, an event, a command)
	Idempotent bool          // idempotency_level is NO_SIDE_EFFECTS or IDEMPOTENT
	Retry      Retry         // of calls; MaxAttempts is 1 where calls are never retried

	Group           string                         // of a single active method or command; else ""
	StickyField     []protoreflect.FieldDescriptor // the path to it from the request; nil: none
	MaxMessageBytes int                            // 0: no chunking
	Event           *EventSpec                     // of an event; else nil
	Command         *CommandSpec                   // of a command; else nil
}

// Streaming reports whether either side of the method is a stream.
func (m *Method) Streaming() bool {
	return streaming(m.Desc)
}

// FromDescriptor reads and checks the Aegis options of a service and of its
// methods. The error joins one [Problem] per mistake, all of them at once.
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

func streaming(desc protoreflect.MethodDescriptor) bool {
	return desc.IsStreamingClient() || desc.IsStreamingServer()
}
