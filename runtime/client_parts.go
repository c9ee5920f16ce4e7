package aegis

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/caller"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Unary calls of methods with max_message_bytes. Small requests and responses travel as
// those of other methods do; one that is too large for a message of NATS makes a stream of
// the call, with one message in each direction.

// invokeInParts is invoke for a method with max_message_bytes.
func (m *clientMethod) invokeInParts(ctx context.Context, req, res proto.Message, cfg *callConfig, call *Call) error {
	if err := ctx.Err(); err != nil {
		return asError(err).notRun(true)
	}
	b, err := (proto.MarshalOptions{}).MarshalAppend(make([]byte, frame.MaxOverhead, frame.MaxOverhead+proto.Size(req)), req)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", m.public.FullName(), err).notRun(true)
	}
	size := len(b) - frame.MaxOverhead
	if size > m.method.MaxMessageBytes {
		return outward(rpcstream.TooLargeFor(m.public.FullName(), size, m.method.MaxMessageBytes)).notRun(true)
	}
	ctx, cancel := m.withDeadline(ctx)
	defer cancel()
	if call == nil {
		call = &Call{attempt: 1}
	}
	s := m.newStream(ctx, cfg, call)
	s.result = res
	inOne := int64(size) <= m.client.conn.nc.MaxPayload()/2 // the rest is for headers
	if inOne {
		s.chunked = "0"
		err = s.dial(b[frame.MaxOverhead:], req)
	} else {
		s.chunked = strconv.Itoa(size)
		err = s.dial(nil, req)
	}
	if err != nil || s.answered {
		return err
	}
	defer s.Abort(status.New(status.Canceled, "the call has ended"), rpcstream.Dropping)
	if !inOne {
		if why := s.Stream.Send(b); why != nil && why != rpcstream.EOF { // after EOF, recv says why
			return outward(why)
		}
	}
	return s.response(res)
}

// withDeadline returns a context with the deadline of the call.
func (m *clientMethod) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, m.method.Timeout)
}

// response reads the one response.
func (s *clientStream) response(res proto.Message) error {
	err := s.recv(res)
	s.tellMetadata(false)
	switch {
	case err == io.EOF: //nolint:errorlint // only the end itself is one
		return Errorf(CodeInternal, "the server of %s ended the call without a response", s.Name)
	case errors.Is(err, context.DeadlineExceeded):
		return s.late()
	default:
		return err
	}
}

// late is the error of a call whose reply is not whole at the deadline.
func (s *clientStream) late() *Error {
	return because(context.DeadlineExceeded, CodeDeadlineExceeded, "no whole reply of "+s.Name+" before the deadline; whether the handler ran is unknown")
}

// answer takes a reply that came in one message.
func (s *clientStream) answer(msg *nats.Msg) *status.Status {
	s.answered = true
	return caller.ReadReply(s.Name, msg.Data, s.result)
}
