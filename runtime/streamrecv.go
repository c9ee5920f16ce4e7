package aegis

import (
	"io"
	"runtime"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/frame"
)

// What the reader of a stream does.

// take takes a message that has come.
func (s *stream) take(f frame.Frame) error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	if err := s.in.Take(f.Seq, len(f.Body)); err != nil {
		s.mu.Unlock()
		return err
	}
	if !s.inUse {
		s.use(true)
	}
	if s.dropped.Load() {
		s.mu.Unlock()
		s.consume(len(f.Body)) // there is no reader any more
		return nil
	}
	s.queue = append(s.queue, arrival{f.Kind, f.Body})
	s.mu.Unlock()
	s.readable.Signal()
	return nil
}

// recv reads one message. io.EOF is the end.
func (s *stream) recv(m proto.Message) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		switch {
		case s.failed != nil:
			return s.failed
		case s.unwanted.Load():
			return s.closedByReader()
		}
		for s.at == len(s.batch) || s.dropped.Load() {
			err := s.fetch()
			if err == io.EOF && len(s.parts) > 0 { //nolint:errorlint // only the end itself is one
				return s.refuse(Errorf(CodeDataLoss, "the stream of %s has ended in the middle of a message", s.name))
			} else if err != nil {
				return err
			}
		}
		a := s.batch[s.at]
		s.batch[s.at] = arrival{}
		s.at++
		s.consume(len(a.body))
		body := a.body
		switch a.kind {
		case frame.Data:
			if len(s.parts) > 0 {
				return s.refuse(s.violation(errOutOfPlace))
			}
		case frame.Part, frame.Last:
			whole, err := s.assemble(a)
			if err != nil {
				return s.refuse(err)
			}
			if a.kind == frame.Part {
				continue
			}
			body = whole
		default:
			continue
		}
		if err := s.unmarshal(body, m); err != nil {
			return s.unreadable(m, body, err)
		}
		return nil
	}
}

func (s *stream) unmarshal(b []byte, m proto.Message) error {
	if !s.json {
		return proto.Unmarshal(b, m)
	}
	if len(b) == 0 {
		proto.Reset(m)
		return nil
	}
	return unmarshalJSON.Unmarshal(b, m)
}

// refuse ends the stream because of what was read.
func (s *stream) refuse(err *Error) error {
	s.releaseParts()
	s.failed = err
	s.abort(err, endDropping)
	return err
}

func (s *stream) unreadable(m proto.Message, body []byte, err error) error {
	if s.hub.server {
		return s.refuse(unreadableRequest("a message of "+s.name, m, body, s.json, err))
	}
	return s.refuse(Errorf(CodeInternal, "a message of %s is no valid %s: %w", s.name, m.ProtoReflect().Descriptor().FullName(), err))
}

// fetch takes over all that has come, or returns how the stream has ended.
func (s *stream) fetch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch, s.at = s.batch[:0], 0
	if len(s.queue) == 0 && !s.ended {
		// In a flood more comes at once: that costs less than to sleep and be woken
		// for each message.
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	for len(s.queue) == 0 && !s.ended && !s.halfClosed && !s.dropped.Load() && !s.unwanted.Load() {
		s.idle = true
		s.readable.Wait()
		s.idle = false
	}
	switch {
	case s.unwanted.Load():
		return s.closedByReader()
	case len(s.queue) > 0:
		s.batch, s.queue = s.queue, s.batch
		return nil
	case s.ended && s.status != nil:
		return s.status
	case s.hub.server && s.ended && !s.halfClosed:
		// That the client has sent all is not known: it may have been about to send more.
		return Errorf(CodeCanceled, "the handler of %s has returned, and the stream has ended before its client has sent all", s.name)
	default:
		return io.EOF
	}
}

func (s *stream) closedByReader() *Error {
	return Errorf(CodeCanceled, "the receiver of %s was closed", s.name)
}

// discard ends the reading: a reader that waits returns, and what still comes is
// thrown away.
func (s *stream) discard() {
	s.mu.Lock()
	s.unwanted.Store(true)
	s.readable.Broadcast()
	s.mu.Unlock()
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	unread := slices.Concat(s.batch[s.at:], s.queue)
	s.batch, s.at, s.queue = nil, 0, nil
	for _, a := range unread {
		s.consumed.Seq++
		s.consumed.Bytes += uint64(len(a.body))
	}
	s.allow()
	position := s.position()
	s.dropped.Store(true) // from here on take counts
	s.mu.Unlock()
	s.tell(frame.Credit, s.to, "", position)
}

// consume counts a message that was read, and gives credit when that is due.
func (s *stream) consume(size int) {
	s.consumed.Seq++
	s.consumed.Bytes += uint64(size)
	if s.consumed.Reaches(s.due) {
		s.grant()
	}
}

// allow has the other end send a window beyond what was read; s.mu is held.
func (s *stream) allow() {
	s.hub.transit.took(s.consumed.Bytes - s.counted)
	s.counted = s.consumed.Bytes
	s.in.Resize(s.hub.transit.window(s.window, 0).Bytes)
	s.in.Grant(s.consumed)
	s.due = s.in.Due()
}

// grant gives credit for all that was read.
func (s *stream) grant() {
	s.mu.Lock()
	s.allow()
	useless := s.ended || s.in.Closed()
	position := s.position()
	s.mu.Unlock()
	if !useless {
		s.tell(frame.Credit, s.to, "", position)
	}
}
