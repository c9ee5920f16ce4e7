package aegisreflect

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Pattern is the way in which the messages of a method reach their handlers.
type Pattern int

// The patterns. The first two are those of calls and streams; whether a method is a stream
// its descriptor says.
const (
	// PatternLoadBalanced has one instance handle a call, whichever is best.
	PatternLoadBalanced = Pattern(spec.LoadBalanced)
	// PatternSingleActive has the leader of the method's group handle a call.
	PatternSingleActive = Pattern(spec.SingleActive)
	// PatternBroadcast has every instance handle a call.
	PatternBroadcast = Pattern(spec.Broadcast)
	// PatternEvent has the subscribers of an event handle it.
	PatternEvent = Pattern(spec.Event)
	// PatternCommand has a worker handle a message that is stored.
	PatternCommand = Pattern(spec.Command)
)

// String returns the pattern as people read it, such as "load balanced".
func (p Pattern) String() string { return spec.Pattern(p).String() }

// Method is a method of a Service. It is safe for concurrent use. An operation that is for
// another pattern returns an error that wraps ErrWrongPattern, and does nothing.
type Method struct {
	service *Service
	spec    *spec.Method

	// The method as a generated client has it, by its pattern. A response is read into an
	// empty message, which keeps all fields as unknown ones: its bytes, from which message.go
	// makes the dynamic message.
	unary     lazy[*aegis.UnaryMethod[dynamicpb.Message, emptypb.Empty]]
	stream    lazy[*aegis.ServerStreamMethod[dynamicpb.Message, emptypb.Empty]]
	upload    lazy[*aegis.ClientStreamMethod[dynamicpb.Message, emptypb.Empty]]
	bidi      lazy[*aegis.BidiStreamMethod[dynamicpb.Message, emptypb.Empty]]
	broadcast lazy[*aegis.BroadcastMethod[dynamicpb.Message, emptypb.Empty]]
	command   lazy[*aegis.CommandMethod[dynamicpb.Message, emptypb.Empty]]
	core      lazy[*aegis.CoreEvent[dynamicpb.Message]]
	durable   lazy[*aegis.DurableEvent[dynamicpb.Message]]
}

// Service returns the service of the method.
func (m *Method) Service() *Service { return m.service }

// Name returns the short name of the method, such as "PlaceOrder".
func (m *Method) Name() string { return m.spec.Name }

// FullName returns the full name, such as "order.v1.OrderService.PlaceOrder".
func (m *Method) FullName() string { return m.service.Name() + "." + m.spec.Name }

// Descriptor returns the descriptor of the method: its types, whether its requests and its
// responses are streams, its idempotency level. Comment returns its comment.
func (m *Method) Descriptor() protoreflect.MethodDescriptor { return m.spec.Desc }

// Options returns the options that the proto gives the method, without defaults. It is
// empty, not nil, if the proto gives none.
func (m *Method) Options() *aegisv1.MethodOptions {
	opts, _ := spec.MethodOptions(m.spec.Desc) // was read before, without an error
	return opts
}

// Pattern returns the pattern of the method.
func (m *Method) Pattern() Pattern { return Pattern(m.spec.Pattern) }

// Durable reports whether the method is an event that is stored.
func (m *Method) Durable() bool { return m.spec.Event != nil && m.spec.Event.Durable }

// Group returns the group of a single active method or command, "" for all others.
func (m *Method) Group() string { return m.spec.Group }

// Timeout returns how long a call may take whose context has no deadline; 0 if a call then
// has none: of streams without a timeout in the proto, of events and commands.
func (m *Method) Timeout() time.Duration { return m.spec.Timeout }

// input and output are the types of requests and of responses.
func (m *Method) input() protoreflect.MessageDescriptor  { return m.spec.Desc.Input() }
func (m *Method) output() protoreflect.MessageDescriptor { return m.spec.Desc.Output() }

// kind is what a method is to its callers.
type kind int

const (
	kindUnary kind = iota
	kindStream
	kindUpload
	kindBidi
	kindBroadcast
	kindEvent
	kindCommand
)

func (m *Method) kind() kind {
	client, server := m.spec.Desc.IsStreamingClient(), m.spec.Desc.IsStreamingServer()
	switch {
	case m.spec.Pattern == spec.Broadcast:
		return kindBroadcast
	case m.spec.Pattern == spec.Event:
		return kindEvent
	case m.spec.Pattern == spec.Command:
		return kindCommand
	case client && server:
		return kindBidi
	case client:
		return kindUpload
	case server:
		return kindStream
	default:
		return kindUnary
	}
}

// is returns an error unless the method is of a kind.
func (m *Method) is(want kind) error {
	have := m.kind()
	if have == want {
		return nil
	}
	var what string
	switch have {
	case kindUnary:
		what = "a unary method: use Call"
	case kindStream:
		what = "a stream of responses: use Stream"
	case kindUpload:
		what = "a stream of requests: use Upload"
	case kindBidi:
		what = "a stream in both directions: use Bidi"
	case kindBroadcast:
		what = "a broadcast: use Broadcast"
	case kindEvent:
		what = "an event: use Publish and Observe"
	case kindCommand:
		what = "a command: use Send and Command"
	}
	return aegis.Errorf(aegis.CodeInvalidArgument, "%w: %s is %s", ErrWrongPattern, m.FullName(), what)
}

// clientMethod makes a method of the service's client by makeIt, once.
func clientMethod[T any](m *Method, l *lazy[T], want kind, makeIt func(*aegis.Client, protoreflect.Name) T) (T, error) {
	var none T
	if err := m.is(want); err != nil {
		return none, err
	}
	return l.get(func() (T, error) {
		client, err := m.service.aegisClient()
		if err != nil {
			return none, coded(err)
		}
		return makeIt(client, protoreflect.Name(m.spec.Name)), nil
	})
}

// coded makes an error with a code of an error of a constructor.
func coded(err error) error {
	if code := aegis.CodeOf(err); code != aegis.CodeUnknown {
		return aegis.Errorf(code, "%w", err)
	}
	return aegis.Errorf(aegis.CodeInvalidArgument, "%w", err)
}
