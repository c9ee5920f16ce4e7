package aegistest

import (
	"errors"
	"io"
	"iter"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest/internal/memory"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// NewCommand returns a handle of a command that has ended with a result, or with an error,
// after some reports. The handle returns the error as it would come from a worker: with its
// code, message and details. With neither result nor error the command has not ended, and
// Result waits. The id is "test.1", the same for all.
func NewCommand[R any](result *R, err error, progress ...aegis.Progress) *aegis.Command[R] {
	res, _ := any(result).(proto.Message)
	if result == nil {
		res = nil
	}
	reports := make([]commandwait.Progress, len(progress))
	for i, p := range progress {
		reports[i] = commandwait.Progress(p)
	}
	c := new(aegis.Command[R])
	inmemory.ForTests().Follow(c, memory.NewFinished("test.1", res, inmemory.ForTests().Status(err), reports))
	return c
}

// NewFuture returns the future of an event whose outcome is known: an acknowledgement or an
// error.
func NewFuture(ack *aegis.PubAck, err error) *aegis.PubFuture {
	future := inmemory.ForTests().Future((*stores.Ack)(ack), inmemory.ForTests().Status(err))
	return future.(*aegis.PubFuture) //nolint:forcetypeassert // it is one
}

// NewBroadcast returns the replies of a broadcast, for fakes of clients.
func NewBroadcast[T any](replies ...aegis.Reply[T]) iter.Seq[aegis.Reply[T]] {
	return slices.Values(replies)
}

// Receiver is an aegis.Receiver of messages that a test has. It is safe for concurrent use.
type Receiver[T any] struct {
	// Err is returned after the last message, in place of io.EOF. A test sets this and the
	// metadata before the first Recv.
	Err error
	// HeaderValue and TrailerValue are returned by Header and Trailer.
	HeaderValue, TrailerValue aegis.Header

	mu     sync.Mutex // guards what follows
	items  []*T
	closed bool
}

// NewReceiver returns a Receiver of messages.
func NewReceiver[T any](items ...*T) *Receiver[T] {
	return &Receiver[T]{items: slices.Clone(items), HeaderValue: aegis.Header{}, TrailerValue: aegis.Header{}}
}

// Recv returns the next message; after the last one Err or io.EOF, and after Close an error
// with aegis.CodeCanceled.
func (r *Receiver[T]) Recv() (*T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, aegis.NewError(aegis.CodeCanceled, "the stream was closed by its reader")
	case len(r.items) > 0:
		next := r.items[0]
		r.items = r.items[1:]
		return next, nil
	case r.Err != nil:
		return nil, r.Err
	default:
		return nil, io.EOF
	}
}

// All returns the messages that follow.
func (r *Receiver[T]) All() iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			m, err := r.Recv()
			if errors.Is(err, io.EOF) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Header returns HeaderValue.
func (r *Receiver[T]) Header() aegis.Header { return r.HeaderValue }

// Trailer returns TrailerValue.
func (r *Receiver[T]) Trailer() aegis.Header { return r.TrailerValue }

// Close ends the reading.
func (r *Receiver[T]) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

// Closed reports whether Close was called.
func (r *Receiver[T]) Closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Sender is an aegis.Sender that keeps what it is sent. It is safe for concurrent use, but
// for its metadata.
type Sender[T any] struct {
	// Err is returned by Send when Room messages were sent, if it is not nil.
	Err  error
	Room int

	mu              sync.Mutex // guards sent
	sent            []*T
	header, trailer aegis.Header
}

// NewSender returns a Sender, for tests that call the handler of a stream.
func NewSender[T any]() *Sender[T] {
	return &Sender[T]{header: aegis.Header{}, trailer: aegis.Header{}}
}

// Send keeps a copy of the message.
func (s *Sender[T]) Send(m *T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil && len(s.sent) >= s.Room {
		return s.Err
	}
	s.sent = append(s.sent, clone(m))
	return nil
}

// Sent returns the messages that were sent, in order.
func (s *Sender[T]) Sent() []*T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// Header returns the metadata that the handler sets.
func (s *Sender[T]) Header() aegis.Header { return s.header }

// Trailer returns the metadata that the handler sets for the end.
func (s *Sender[T]) Trailer() aegis.Header { return s.trailer }

// clone copies a message of generated code.
func clone[T any](m *T) *T {
	msg, ok := any(m).(proto.Message)
	if !ok || m == nil {
		return m
	}
	return any(proto.Clone(msg)).(*T) //nolint:forcetypeassert // a clone has the type of its message
}

// UploadStream is an aegis.UploadStream that keeps what it is sent.
type UploadStream[Req, Res any] struct {
	*Sender[Req]

	res *Res
	err error
}

// NewUploadStream returns a stream of requests that has a response, or an error.
func NewUploadStream[Req, Res any](res *Res, err error) *UploadStream[Req, Res] {
	return &UploadStream[Req, Res]{NewSender[Req](), res, err}
}

// CloseAndRecv returns the response, or the error.
func (s *UploadStream[Req, Res]) CloseAndRecv() (*Res, error) { return s.res, s.err }

// BidiStream is an aegis.BidiStream that keeps what it is sent, and receives messages that a
// test has.
type BidiStream[Req, Res any] struct {
	*Receiver[Res]

	sender *Sender[Req]
}

// NewBidiStream returns a stream that receives messages.
func NewBidiStream[Req, Res any](items ...*Res) *BidiStream[Req, Res] {
	return &BidiStream[Req, Res]{NewReceiver(items...), NewSender[Req]()}
}

// Send keeps a copy of the message.
func (s *BidiStream[Req, Res]) Send(m *Req) error { return s.sender.Send(m) }

// Sent returns the messages that were sent, in order.
func (s *BidiStream[Req, Res]) Sent() []*Req { return s.sender.Sent() }

// CloseSend does nothing.
func (s *BidiStream[Req, Res]) CloseSend() error { return nil }

var (
	_ aegis.Receiver[int]          = (*Receiver[int])(nil)
	_ aegis.Sender[int]            = (*Sender[int])(nil)
	_ aegis.UploadStream[int, int] = (*UploadStream[int, int])(nil)
	_ aegis.BidiStream[int, int]   = (*BidiStream[int, int])(nil)
)
