package aegisotel

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// WrapClientStream makes a span of each stream at its client. The span ends when the user
// has read the end of the stream, or has closed the stream or given it up. The runtime
// calls WrapClientStream.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	var m cached
	return func(ctx context.Context) (aegis.AnyStream, error) {
		ctx, op := i.beginSpan(ctx, &m)
		op.returned = true
		s, err := next(ctx)
		if err != nil {
			op.endSpan(err)
			return nil, err
		}
		traced := &clientStream{AnyStream: s, op: op, single: sendsOne(ctx)}
		traced.watch(ctx)
		return traced, nil
	}
}

// WrapServerStream makes a span of each stream at its server: as long as the handler runs.
// The runtime calls it.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	var m cached
	return func(ctx context.Context, s aegis.AnyStream) (err error) {
		ctx, op := i.beginSpan(ctx, &m)
		defer func() { op.endSpan(err) }() // also if next panics
		err = next(ctx, s)
		op.returned = true
		return err
	}
}

// sendsOne reports whether the method of a call has one request.
func sendsOne(ctx context.Context) bool {
	call, ok := aegis.CallFromContext(ctx)
	return ok && call.Method().Descriptor != nil && !call.Method().Descriptor.IsStreamingClient()
}

// clientStream is a stream that ends its span when it ends.
type clientStream struct {
	aegis.AnyStream

	op     *operation
	single bool      // the method has one request, whose Send opens the stream
	once   sync.Once // ends the span

	mu      sync.Mutex  // guards the rest
	unwatch func() bool // ends watch; nil before it
	unsent  error       // the error of the last Send, but for io.EOF
}

// watch ends the span when ctx ends, which may be so already. A user who gives the stream up
// after a message that could not be sent ends the span with the error of that message.
func (s *clientStream) watch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() {
		s.mu.Lock()
		err := cmp.Or(s.unsent, ctx.Err())
		s.mu.Unlock()
		s.endSpan(err)
	})
}

// Send does not end the span, but for the one request of a method: a stream goes on after a
// message that was too large, and after other errors Recv returns why it has ended.
func (s *clientStream) Send(m proto.Message) error {
	err := s.AnyStream.Send(m)
	s.mu.Lock()
	s.unsent = err
	if errors.Is(err, io.EOF) {
		s.unsent = nil
	}
	s.mu.Unlock()
	if err != nil && s.single {
		s.endSpan(err)
	}
	return err
}

// Recv ends the span when it returns the end of the stream.
func (s *clientStream) Recv(m proto.Message) error {
	err := s.AnyStream.Recv(m)
	switch {
	case errors.Is(err, io.EOF):
		s.endSpan(nil)
	case err != nil:
		s.endSpan(err)
	}
	return err
}

// endSpan ends the span, once.
func (s *clientStream) endSpan(err error) {
	s.once.Do(func() {
		s.mu.Lock()
		unwatch := s.unwatch
		s.mu.Unlock()
		unwatch()
		s.op.endSpan(err)
	})
}
