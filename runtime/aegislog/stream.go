package aegislog

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// stream counts the messages of a stream.
type stream struct {
	aegis.AnyStream

	sent, received atomic.Int64
}

func (s *stream) Send(m proto.Message) error {
	err := s.AnyStream.Send(m)
	if err == nil {
		s.sent.Add(1)
	}
	return err
}

func (s *stream) Recv(m proto.Message) error {
	err := s.AnyStream.Recv(m)
	if err == nil {
		s.received.Add(1)
	}
	return err
}

// clientStream is a stream that is logged when it ends.
type clientStream struct {
	stream

	line *line
	once sync.Once // logs

	mu      sync.Mutex  // guards the rest
	unwatch func() bool // ends watch
	unsent  error       // the error of the last Send, but for io.EOF
}

// watch logs the stream when its context ends, which may be so already: the user has closed
// the stream or given it up, maybe after a message that could not be sent.
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

// Send does not end the stream, but for the one request of a method, which opens it: after
// other errors Recv says why the stream has ended, or the stream goes on.
func (s *clientStream) Send(m proto.Message) error {
	err := s.stream.Send(m)
	s.mu.Lock()
	if s.unsent = err; errors.Is(err, io.EOF) {
		s.unsent = nil
	}
	s.mu.Unlock()
	if err != nil && s.line.single {
		s.end(err)
	}
	return err
}

func (s *clientStream) Recv(m proto.Message) error {
	err := s.stream.Recv(m)
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
		s.line.log(err)
	})
}
