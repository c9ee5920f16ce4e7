package rpcstream

import (
	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// How a stream is opened: the client sends a request, and the server replies with an Ack,
// whose reply subject is where the server listens.

// Asking has the answer to the open handed to a slot, until Asked is called.
func (s *Stream) Asking(slot *bus.Slot) {
	slot.Reply = s.own
	s.open.slot.Store(slot)
}

// Asked says that the open was answered, or is given up.
func (s *Stream) Asked() { s.open.slot.Store(nil) }

// Acknowledge tells the client that this server has taken the stream and, where the
// requests of the method are a stream, how much it may send.
func (s *Stream) Acknowledge(requests bool, header nats.Header) {
	limit := flow.Limit{}
	if requests {
		limit = s.in.Limit()
	}
	ack := &nats.Msg{Subject: s.to, Reply: s.own, Header: header, Data: frame.AppendLimit(frame.Append(nil, frame.Ack, 0), limit)}
	_ = s.hub.nc.PublishMsg(ack) // if it is lost, the client gives up
	s.hub.meet(s, s.to)
}

// Accept takes the answer of a server to the open that was sent to target. If plain is
// set, the answer may be a reply in one message in place of a stream: answered says so
// then.
func (s *Stream) Accept(msg *nats.Msg, target string, plain bool) (answered bool, why *status.Status) {
	f, err := frame.Decode(msg.Data)
	var limit flow.Limit
	switch {
	case err == nil && followsAck(f, msg, plain):
		s.hub.leave(msg.Reply)
		return false, status.Newf(status.DataLoss, "the stream of %s is not whole: the answer to its open was lost", s.Name)
	case plain && msg.Reply == "":
		return true, nil
	case err == nil && msg.Reply == "":
		err = errOutOfPlace
	case err == nil:
		limit, err = frame.DecodeLimit(f.Body)
	}
	if err != nil {
		s.hub.leave(msg.Reply)
		return false, status.Newf(status.Internal, "the server of %s does not take the stream as it should: %w", s.Name, err)
	}
	s.mu.Lock()
	s.to, s.open.target = msg.Reply, target
	err = s.out.Credit(0, limit)
	failed := s.end.ended && !s.end.byPeer
	s.mu.Unlock()
	switch {
	case err != nil:
		s.hub.leave(msg.Reply)
		return false, s.violation(err)
	case failed: // because of frames that have come already
		s.hub.leave(msg.Reply)
	}
	s.hub.meet(s, msg.Reply)
	return false, nil
}

// followsAck reports whether a frame belongs to a stream whose Ack has not come. The reply
// of a unary call may look like a frame, but never like a numbered one, as no message has
// a field 0.
func followsAck(f frame.Frame, msg *nats.Msg, plain bool) bool {
	return f.Kind.Numbered() || f.Kind != frame.Ack && (!plain || msg.Reply != "")
}
