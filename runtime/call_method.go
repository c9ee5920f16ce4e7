package aegis

import (
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Method is the method of a call: which one it is, and what the proto says of it. Options
// that are not of Aegis are among those of the Descriptor.
type Method struct {
	// Service is the full name of the service, such as "echo.v1.EchoService".
	Service string
	// Name is the short name of the method, such as "Echo".
	Name string
	// Idempotent: the proto says that running the method twice has the effect of running
	// it once (option idempotency_level), so the client may try a call again.
	Idempotent bool
	side       Side // at which a call of the method is seen
	// Descriptor is the method's descriptor.
	Descriptor protoreflect.MethodDescriptor
	spec       *spec.Method // nil if the service has no such method
}

func publicMethod(s *spec.Service, m *spec.Method, side Side) Method {
	if side == SideServer && m.Command != nil {
		side = SideWorker
	}
	return Method{Service: s.Name, Name: m.Name, Idempotent: m.Idempotent, Descriptor: m.Desc, side: side, spec: m}
}

// FullName returns the full name of the method, such as "echo.v1.EchoService.Echo", as
// the constants of generated code have it.
func (m Method) FullName() string { return m.Service + "." + m.Name }

// Pattern returns the pattern of the method; 0 if the method is not known, as before a call.
func (m Method) Pattern() Pattern { return Pattern(spec.OrNone(m.spec).Pattern) }

// IdempotencyLevel returns the option idempotency_level of the method as it is written.
func (m Method) IdempotencyLevel() descriptorpb.MethodOptions_IdempotencyLevel {
	return spec.IdempotencyLevel(m.Descriptor)
}

// Durable reports whether messages of the method are stored: durable events and commands.
func (m Method) Durable() bool { return spec.OrNone(m.spec).Durable() }

// Group returns the group of a single active method or command, "" of others.
func (m Method) Group() string { return spec.OrNone(m.spec).Group }

// Timeout returns how long a call may take whose context has no deadline; 0 if a call then
// has none: of streams without a timeout in the proto, of events and commands.
func (m Method) Timeout() time.Duration { return spec.OrNone(m.spec).Timeout }

// Options returns copies of the Aegis options of the method and of its service as they are
// written, without defaults. They are never nil. To read them takes microseconds.
func (m Method) Options() (*aegisv1.MethodOptions, *aegisv1.ServiceOptions) {
	return spec.Options(m.Descriptor)
}

// Pattern is the way in which the messages of a method reach their handlers.
type Pattern int

// The patterns.
const (
	PatternLoadBalanced = Pattern(spec.LoadBalanced) // one instance handles a call
	PatternSingleActive = Pattern(spec.SingleActive) // the leader of a group handles a call
	PatternBroadcast    = Pattern(spec.Broadcast)    // every instance handles a call
	PatternEvent        = Pattern(spec.Event)        // subscribers handle a message
	PatternCommand      = Pattern(spec.Command)      // a worker handles a message that is stored
)

// String returns the name of the pattern in a proto, such as "load_balanced".
func (p Pattern) String() string { return strings.ReplaceAll(spec.Pattern(p).String(), " ", "_") }

// Side is where a call, an event or a command is seen.
type Side uint8

// The sides.
const (
	SideClient     Side = iota + 1 // calls, streams and broadcasts, and the sending of commands
	SideServer                     // the handlers of calls, streams and broadcasts
	SidePublisher                  // the publishing of events
	SideSubscriber                 // the handlers of events
	SideWorker                     // the handlers of commands
)

// String returns the name of the side, such as "client".
func (s Side) String() string {
	names := [...]string{"no side", "client", "server", "publisher", "subscriber", "worker"}
	return names[int(s)%len(names)]
}
