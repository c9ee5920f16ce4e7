package aegis

import (
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// messageStream is one end of a stream as generated code uses it: with messages in place of
// bytes, and errors in place of statuses.
type messageStream struct {
	rpcstream.Stream
	server  bool   // it is the server's end
	scratch []byte // to marshal into; the writer's own
}

// send sends one message. It waits for credit.
func (s *messageStream) send(m proto.Message) error {
	if cap(s.scratch) < frame.MaxOverhead {
		s.scratch = make([]byte, frame.MaxOverhead, 256)
	}
	b, err := body.Append(s.scratch[:frame.MaxOverhead], m, s.JSON)
	if err != nil {
		return Errorf(CodeInternal, "a message of %s cannot be marshalled: %w", s.Name, err)
	}
	if s.scratch = b; cap(b) > bus.MaxKeptPayload {
		s.scratch = nil
	}
	return endOfStream(s.Send(b))
}

// recv reads one message. io.EOF is the end.
func (s *messageStream) recv(m proto.Message) error {
	data, why := s.Recv()
	if why != nil {
		return endOfStream(why)
	}
	if err := body.Unmarshal(data, s.JSON, m); err != nil {
		why := s.unreadable(m, data, err)
		s.Refuse(&why.st)
		return why
	}
	return nil
}

// unreadable is the error of a message that cannot be unmarshalled.
func (s *messageStream) unreadable(m proto.Message, data []byte, err error) *Error {
	if s.server {
		return outward(status.UnreadableRequest("a message of "+s.Name, m, data, s.JSON, err))
	}
	return Errorf(CodeInternal, "a message of %s is no valid %s: %w", s.Name, m.ProtoReflect().Descriptor().FullName(), err)
}

// closeSend tells the other end that no more messages follow.
func (s *messageStream) closeSend() error { return endOfStream(s.CloseSend()) }

// endOfStream makes an error of a status of a stream; io.EOF is the end.
func endOfStream(why *status.Status) error {
	switch why {
	case nil:
		return nil
	case rpcstream.EOF:
		return io.EOF
	default:
		return outward(why)
	}
}
