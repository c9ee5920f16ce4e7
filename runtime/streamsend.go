package aegis

import (
	"errors"
	"io"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/frame"
)

// What the writer of a stream does.

// errSendEnded is what Send returns when the server has ended the stream. Why
// it has, the reader is told.
var errSendEnded = io.EOF

// send sends one message. It waits for credit.
func (s *stream) send(m proto.Message) error {
	if cap(s.scratch) < frame.MaxOverhead {
		s.scratch = make([]byte, frame.MaxOverhead, 256)
	}
	b, err := s.marshal(s.scratch[:frame.MaxOverhead], m)
	if err != nil {
		return Errorf(CodeInternal, "a message of %s cannot be marshalled: %w", s.name, err)
	}
	if s.scratch = b; cap(b) > bus.MaxKeptPayload {
		s.scratch = nil
	}
	return s.transmitMessage(b)
}

func (s *stream) marshal(b []byte, m proto.Message) ([]byte, error) {
	if s.json {
		return marshalJSON.MarshalAppend(b, m)
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

// transmit sends a message whose body is b[frame.MaxOverhead:], as soon as there
// is credit.
func (s *stream) transmit(kind frame.Kind, b []byte) error { return s.transmitWith(nil, kind, b) }

// transmitHeader sends the metadata that comes before all messages.
func (s *stream) transmitHeader(h nats.Header) error {
	return s.transmitWith(h, frame.Header, make([]byte, frame.MaxOverhead))
}

// transmitWith waits for credit, and for the connection.
func (s *stream) transmitWith(h nats.Header, kind frame.Kind, b []byte) error {
	for {
		seq, err := s.lockToSend(len(b) - frame.MaxOverhead)
		if err != nil {
			return err
		}
		err = s.publish(&nats.Msg{Subject: s.to, Header: h}, kind, seq, b)
		s.sending.Unlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrReconnectBufExceeded): // nothing was sent
			s.awaitLink()
		case errors.Is(err, nats.ErrMaxPayload):
			advice := bus.SendInParts
			if kind == frame.Header || s.maxMessage > 0 {
				advice = bus.LessMetadata
			}
			return tooLarge("the message", len(b)-frame.MaxOverhead, s.hub.nc.MaxPayload(), advice)
		default:
			return s.hub.publishError(err)
		}
	}
}

// closeSend says that no more messages follow. If it cannot be sent now, it is
// sent when the connection is up again.
func (s *stream) closeSend() error {
	for {
		s.sending.Lock()
		s.mu.Lock()
		if s.ended || s.sendClosed {
			ended, err := s.ended && !s.sendClosed, s.sendError()
			s.mu.Unlock()
			s.sending.Unlock()
			if ended && err != io.EOF { //nolint:errorlint // after which the reader learns why, and there is nothing to close
				return err
			}
			return nil
		}
		seq := s.out.Next(0)
		s.mu.Unlock()
		err := s.publish(&nats.Msg{Subject: s.to}, frame.HalfClose, seq, make([]byte, frame.MaxOverhead))
		if err == nil {
			s.mu.Lock()
			s.sendClosed = true
			s.mu.Unlock()
		}
		s.sending.Unlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrReconnectBufExceeded):
			s.awaitLink()
		default:
			return s.hub.publishError(err)
		}
	}
}

// lockToSend returns with s.sending locked, and with the number of a message of
// this size, when that may be sent: the other end has room for it, and so has the
// way to NATS.
func (s *stream) lockToSend(size int) (seq uint64, err error) {
	for {
		s.sending.Lock()
		s.mu.Lock()
		if s.out.Ready() && !s.hub.transit.full() && !s.ended && !s.sendClosed {
			seq = s.out.Next(size)
			s.mu.Unlock()
			return seq, nil
		}
		s.sending.Unlock()
		for !s.ended && !s.sendClosed {
			full := s.hub.transit.full()
			if full {
				s.hub.transit.await(s)
			} else if s.out.Ready() {
				break
			}
			s.writable.Wait()
		}
		over, err := s.ended || s.sendClosed, s.sendError()
		s.mu.Unlock()
		if over {
			return 0, err
		}
	}
}

// sendError is what a writer is told of the end; s.mu is held.
func (s *stream) sendError() error {
	switch {
	case !s.ended:
		return Errorf(CodeFailedPrecondition, "a message of %s was sent after CloseSend", s.name)
	case s.byPeer && !s.hub.server:
		return errSendEnded
	case s.status == nil:
		return Errorf(CodeCanceled, "the stream of %s has ended", s.name)
	default:
		return s.status
	}
}

// publish publishes a numbered frame, or takes its number back; s.sending is held.
func (s *stream) publish(msg *nats.Msg, kind frame.Kind, seq uint64, b []byte) error {
	size := len(b) - frame.MaxOverhead
	b = frame.Prefix(b, kind, seq)
	var err error
	if msg.Header == nil {
		err = s.hub.nc.Publish(msg.Subject, b)
	} else {
		msg.Data = b
		err = s.hub.nc.PublishMsg(msg)
	}
	if err != nil {
		s.mu.Lock()
		s.out.Undo(size)
		s.mu.Unlock()
		return err
	}
	s.published.Store(seq)
	s.hub.transit.wrote(len(b))
	return nil
}

// awaitLink waits until the connection is up again or the stream has ended.
func (s *stream) awaitLink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ended && !s.hub.nc.IsConnected() {
		s.writable.Wait() // the hub wakes all when it is up
	}
}
