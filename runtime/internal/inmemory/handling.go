package inmemory

import (
	"context"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Handling is what a handler learns from its context in a unit test.
type Handling struct {
	Method   protoreflect.MethodDescriptor // nil: the context has no call
	Instance string
	Attempt  int
	Header   map[string][]string // of the request
	Term     *leader.Info        // nil unless a leader handles it
	Job      *Job                // nil unless it is a command
	Delivery *Delivery           // nil unless it is a durable event

	// Metadata returns the metadata of the response that the handler has set.
	Metadata func() (header, trailer map[string][]string)
}

// Job is the command that a handler works on.
type Job struct {
	ID      string
	Attempt int
	Report  func(ctx context.Context, percent float64, message string) *status.Status
}

// Delivery says where a durable event is stored.
type Delivery struct {
	Sequence uint64
	Time     time.Time
	Attempt  int
}

// Tests are what package aegis does for package aegistest alone.
type Tests struct {
	// Replace puts a memory in the place of NATS, before anything uses the connection.
	Replace func(conn any, m Memory)
	// Context returns the context of a handler, and sets h.Metadata. The call in it is an
	// *aegis.Call.
	Context func(ctx context.Context, h *Handling) (context.Context, any)
	// Follow makes an *aegis.Command the handle of a command.
	Follow func(command any, h CommandHandle)
	// Future returns an *aegis.PubFuture whose outcome is known.
	Future func(ack *stores.Ack, why *status.Status) any
	// Error returns the error of a status, and Status the status of an error; nil for nil.
	Error  func(why *status.Status) error
	Status func(err error) *status.Status
	// Handled returns the status of the error of a handler with its interceptors, as it
	// travels.
	Handled func(err error) *status.Status
	// Permanent is aegis.IsPermanent.
	Permanent func(err error) bool
}

// tests is set by package aegis, which imports this one, and cannot be imported by it.
var tests Tests

// Provide sets what package aegis does for tests. Package aegis calls it once, when it is
// initialised; so its own exported names are for users alone.
func Provide(t Tests) bool {
	tests = t
	return true
}

// ForTests returns what package aegis does for tests.
func ForTests() *Tests { return &tests }
