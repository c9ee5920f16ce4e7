package aegisotel

import (
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
		traced := &clientStream{Stream: s, op: op}
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

// clientStream notices how a stream ends.
type clientStream struct {
	aegis.Stream

	op   *operation
	once sync.Once

	mu      sync.Mutex
	unwatch func() bool // nil before it is watched
}

// watch ends the span when ctx ends, which it may have done already.
func (s *clientStream) watch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() { s.end(ctx.Err()) })
}

func (s *clientStream) Send(m proto.Message) error {
	err := s.Stream.Send(m)
	if err != nil && !errors.Is(err, io.EOF) { // after which Recv says why
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
