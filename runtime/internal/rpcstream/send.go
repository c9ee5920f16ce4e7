package rpcstream

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// The writer's side of a stream.

// transmit sends a message or a part whose body is b[frame.MaxOverhead:], as soon as there
// is credit.
func (s *Stream) transmit(kind frame.Kind, b []byte) *status.Status {
	return s.transmitWith(nil, kind, b)
}

// SendHeader sends a server's metadata, which comes before all messages.
func (s *Stream) SendHeader(h nats.Header) *status.Status {
	return s.transmitWith(h, frame.Header, make([]byte, frame.MaxOverhead))
}

// transmitWith sends a frame with headers. It waits for credit, and for the connection.
func (s *Stream) transmitWith(h nats.Header, kind frame.Kind, b []byte) *status.Status {
	for {
		seq, why := s.lockToSend(len(b) - frame.MaxOverhead)
		if why != nil {
			return why
		}
		err := s.publish(&nats.Msg{Subject: s.to, Header: h}, kind, seq, b)
		s.writer.Unlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrReconnectBufExceeded): // nothing was sent
			s.awaitLink()
		case errors.Is(err, nats.ErrMaxPayload):
			advice := bus.SendInParts
			if kind == frame.Header || s.MaxMessage > 0 {
				advice = bus.LessMetadata
			}
			return bus.TooLarge("the message", len(b)-frame.MaxOverhead, s.hub.nc.MaxPayload(), advice)
		default:
			return s.hub.publishError(err)
		}
	}
}

// CloseSend tells the other end that no more messages follow. While the connection is
// down it waits.
func (s *Stream) CloseSend() *status.Status {
	for {
		s.writer.Lock()
		s.mu.Lock()
		if s.end.ended || s.end.sendClosed {
			ended, why := s.end.ended && !s.end.sendClosed, s.sendError()
			s.mu.Unlock()
			s.writer.Unlock()
			if ended && why != EOF { // on EOF the reader learns why, and there is nothing to close
				return why
			}
			return nil
		}
		seq := s.out.Next(0)
		s.mu.Unlock()
		err := s.publish(&nats.Msg{Subject: s.to}, frame.HalfClose, seq, make([]byte, frame.MaxOverhead))
		if err == nil {
			s.mu.Lock()
			s.end.sendClosed = true
			s.mu.Unlock()
		}
		s.writer.Unlock()
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

// lockToSend waits until a message of this size may be sent: the other end has room for it,
// and so has the way to NATS. It returns the number of the message, with s.writer locked.
func (s *Stream) lockToSend(size int) (seq uint64, why *status.Status) {
	for {
		s.writer.Lock()
		s.mu.Lock()
		if s.out.Ready() && !s.hub.transit.full() && !s.end.ended && !s.end.sendClosed {
			seq = s.out.Next(size)
			s.mu.Unlock()
			return seq, nil
		}
		s.writer.Unlock()
		for !s.end.ended && !s.end.sendClosed {
			full := s.hub.transit.full()
			if full {
				s.hub.transit.await(s)
			} else if s.out.Ready() {
				break
			}
			s.writable.Wait()
		}
		over, why := s.end.ended || s.end.sendClosed, s.sendError()
		s.mu.Unlock()
		if over {
			return 0, why
		}
	}
}

// sendError returns what a writer is told whose stream or sending has ended; s.mu is held.
func (s *Stream) sendError() *status.Status {
	switch {
	case !s.end.ended:
		return status.Newf(status.FailedPrecondition, "a message of %s was sent after CloseSend", s.Name)
	case s.end.byPeer && !s.hub.server:
		return EOF // the reader learns why
	case s.end.status == nil:
		return status.Newf(status.Canceled, "the stream of %s has ended", s.Name)
	default:
		return s.end.status
	}
}

// publish publishes a numbered frame, or takes its number back; s.writer is held.
func (s *Stream) publish(msg *nats.Msg, kind frame.Kind, seq uint64, b []byte) error {
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
	s.writer.published.Store(seq)
	s.hub.transit.wrote(len(b))
	return nil
}

// awaitLink waits until the connection is up again or the stream has ended.
func (s *Stream) awaitLink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.end.ended && !s.hub.nc.IsConnected() {
		s.writable.Wait() // the hub wakes all when it is up
	}
}
