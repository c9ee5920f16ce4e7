// Package inmemory is what package aegis and the memory of package aegistest, which stands
// for NATS in unit tests, know of each other.
package inmemory

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// Memory stands for NATS in a unit test: it answers the clients and the publishers of a
// connection, and calls the handlers of its servers. Package aegistest has the only one, so
// that no program links it. It is safe for concurrent use.
type Memory interface {
	// Serve lets the handlers of a server be called until stop is called, which returns when
	// none runs any more, or ctx ends.
	Serve(s *Server) (stop func(ctx context.Context))
	// Call makes a unary call.
	Call(ctx context.Context, out *Outgoing, req proto.Message) (proto.Message, *status.Status)
	// Open opens a stream, which ends when ctx ends.
	Open(ctx context.Context, out *Outgoing) (Stream, *status.Status)
	// Broadcast sends a request to all instances.
	Broadcast(ctx context.Context, out *Outgoing, req proto.Message) (Replies, *status.Status)
	// Publish publishes an event; id is its message id, or "".
	Publish(ctx context.Context, out *Outgoing, id string, ev proto.Message) (*stores.Ack, *status.Status)
	// Send stores a command. The times and the level of s count, and its key as an id.
	Send(ctx context.Context, out *Outgoing, s *Sending, req proto.Message) (CommandHandle, *status.Status)
	// Command returns the handle of a command by its id.
	Command(m *spec.Method, service, id string) CommandHandle
}

// Outgoing is a call, an event or a command on its way out.
type Outgoing struct {
	Service *spec.Service
	Method  *spec.Method
	Header  map[string][]string // the user's metadata

	// Of calls only.
	Instance     string             // the only one that may be called; "" for any
	Strategy     selection.Strategy // picks the instance; nil for NATS's queue group
	Key          string             // for the strategy
	WaitForReady bool
	Replies      int           // ends a broadcast; 0: no such rule
	Silence      time.Duration // the same

	// The answer of a unary call, and for a stream what its open knows.
	Response map[string][]string
	Term     *leader.Info // nil unless a leader has answered
}

// Sending says how a command is sent; the zero value of a field is that of a send without the
// option.
type Sending struct {
	Level             string // of wire
	NotBefore, Expiry time.Time
	Key               string
}

// CommandHandle is one command, whoever has sent it; see commandwait.Command.
type CommandHandle interface {
	ID() string
	Follow(ctx context.Context, each func(commandwait.News) (enough bool)) *status.Status
	View(ctx context.Context) (*commandwait.View, *status.Status)
	Cancel(ctx context.Context, resultTTL string) *status.Status
}

// Stream is an end of a stream. The status of Recv is rpcstream.EOF at the end.
type Stream interface {
	Send(msg proto.Message) *status.Status
	Recv(msg proto.Message) *status.Status
	CloseSend() *status.Status
	// Discard throws away what the other end sends.
	Discard()
	// Drop ends the stream, and throws away what was not read.
	Drop(why *status.Status)
	// Metadata returns the metadata that the other end has sent.
	Metadata() (header, trailer map[string][]string)
}

// Replies are those of a broadcast. The status of Next is rpcstream.EOF at the end.
type Replies interface {
	Next(res proto.Message) (instance string, why *status.Status)
	Drop()
}

// Server is a server as a Memory uses it.
type Server struct {
	Instance      string
	Info          selection.Info  // for strategies
	Base          context.Context //nolint:containedctx // what the contexts of handlers derive from
	Logger        *slog.Logger
	Services      []*Service
	Subscriptions []*Subscription
	Led           func(term leader.Info, leading bool) // is called when a term begins or ends
}

// Service is a registered service.
type Service struct {
	Spec           *spec.Service
	Methods        map[string]*Method // those that the instance offers, by their names
	CommandsAtOnce int
	OnLeading      func(ctx context.Context, term leader.Info) error // nil without single active methods
}

// Method has the handler of a method within its interceptors. A handler that panics has an
// error.
type Method struct {
	Unary  func(ctx context.Context, in *Handling, req proto.Message) (proto.Message, error) // nil for streams
	Stream func(ctx context.Context, in *Handling, s Stream) error                           // nil for all else
}

// Subscription is the handler of an event.
type Subscription struct {
	Service       *spec.Service
	Method        *spec.Method
	Consumer      string // members of a group have the same one
	Concurrency   int
	Retry         spec.Retry
	NoDeadLetters bool
	From          func(sequence uint64, stored time.Time) bool // whether it gets an event that was stored before
	Handle        func(ctx context.Context, in *Handling, ev proto.Message) error
}
