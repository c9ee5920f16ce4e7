package aegislog

import (
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
