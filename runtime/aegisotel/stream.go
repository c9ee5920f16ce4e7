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

// WrapClientStream is called by the runtime. The span of a stream ends when its
// end has been read, or when it is closed or given up.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	var m cached
	return func(ctx context.Context) (aegis.Stream, error) {
		ctx, op := i.begin(ctx, &m)
		op.returned = true
		s, err := next(ctx)
		if err != nil {
			op.end(err)
			return nil, err
		}
		traced := &clientStream{Stream: s, op: op, single: sendsOne(ctx)}
		traced.watch(ctx)
		return traced, nil
	}
}

// WrapServerStream is called by the runtime.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	var m cached
	return func(ctx context.Context, s aegis.Stream) (err error) {
		ctx, op := i.begin(ctx, &m)
		defer func() { op.end(err) }() // also if next panics
		err = next(ctx, s)
		op.returned = true
		return err
	}
}

// sendsOne reports whether the method of a call has one request.
func sendsOne(ctx context.Context) bool {
	call, ok := aegis.CallFromContext(ctx)
	return ok && call.Spec().Descriptor != nil && !call.Spec().Descriptor.IsStreamingClient()
}

// clientStream notices how a stream ends.
type clientStream struct {
	aegis.Stream

	op     *operation
	single bool // its one Send opens the stream
	once   sync.Once

	mu      sync.Mutex
	unwatch func() bool // nil before it is watched
	unsent  error       // what the last Send has returned
}

// watch ends the span when ctx ends, which it may have done already. The reason is
// the message that could not be sent, if the user gives up then.
func (s *clientStream) watch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() {
		s.mu.Lock()
		err := cmp.Or(s.unsent, ctx.Err())
		s.mu.Unlock()
		s.end(err)
	})
}

// Send does not end the span: a stream goes on after a message that was too large,
// and otherwise Recv says why it has ended.
func (s *clientStream) Send(m proto.Message) error {
	err := s.Stream.Send(m)
	s.mu.Lock()
	s.unsent = err
	if errors.Is(err, io.EOF) {
		s.unsent = nil
	}
	s.mu.Unlock()
	if err != nil && s.single {
		s.end(err)
	}
	return err
}

func (s *clientStream) Recv(m proto.Message) error {
	err := s.Stream.Recv(m)
	switch {
	case errors.Is(err, io.EOF):
		s.end(nil)
	case err != nil:
		s.end(err)
	}
	return err
}

func (s *clientStream) end(err error) {
	s.once.Do(func() {
		s.mu.Lock()
		unwatch := s.unwatch
		s.mu.Unlock()
		unwatch()
		s.op.end(err)
	})
}
