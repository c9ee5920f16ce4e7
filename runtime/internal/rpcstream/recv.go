package rpcstream

import (
	"runtime"
	"slices"

	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// What the reader of a stream does.

// take takes a message that has come.
func (s *Stream) take(f frame.Frame) error {
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

// Recv reads one message. EOF is the end.
func (s *Stream) Recv() ([]byte, *status.Status) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		switch {
		case s.failed != nil:
			return nil, s.failed
		case s.unwanted.Load():
			return nil, s.closedByReader()
		}
		for s.at == len(s.batch) || s.dropped.Load() {
			why := s.fetch()
			if why == EOF && len(s.parts) > 0 {
				return nil, s.refuse(status.Newf(status.DataLoss, "the stream of %s has ended in the middle of a message", s.Name))
			} else if why != nil {
				return nil, why
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
				return nil, s.refuse(s.violation(errOutOfPlace))
			}
		case frame.Part, frame.Last:
			whole, why := s.assemble(a)
			if why != nil {
				return nil, s.refuse(why)
			}
			if a.kind == frame.Part {
				continue
			}
			body = whole
		default:
			continue
		}
		return body, nil
	}
}

// Refuse ends the stream because of what its reader has read.
func (s *Stream) Refuse(why *status.Status) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.refuse(why)
}

// refuse is Refuse with s.reading held. It returns why.
func (s *Stream) refuse(why *status.Status) *status.Status {
	s.releaseParts()
	s.failed = why
	s.Abort(why, Dropping)
	return why
}

// fetch takes over all that has come, or returns how the stream has ended.
func (s *Stream) fetch() *status.Status {
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
		return status.Newf(status.Canceled, "the handler of %s has returned, and the stream has ended before its client has sent all", s.Name)
	default:
		return EOF
	}
}

func (s *Stream) closedByReader() *status.Status {
	return status.Newf(status.Canceled, "the receiver of %s was closed", s.Name)
}

// Discard ends the reading: a reader that waits returns, and what still comes is
// thrown away.
func (s *Stream) Discard() {
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
func (s *Stream) consume(size int) {
	s.consumed.Seq++
	s.consumed.Bytes += uint64(size)
	if s.consumed.Reaches(s.due) {
		s.grant()
	}
}

// allow has the other end send a window beyond what was read; s.mu is held.
func (s *Stream) allow() {
	s.hub.transit.took(s.consumed.Bytes - s.counted)
	s.counted = s.consumed.Bytes
	s.in.Resize(s.hub.transit.window(s.Window, 0).Bytes)
	s.in.Grant(s.consumed)
	s.due = s.in.Due()
}

// grant gives credit for all that was read.
func (s *Stream) grant() {
	s.mu.Lock()
	s.allow()
	useless := s.ended || s.in.Closed()
	position := s.position()
	s.mu.Unlock()
	if !useless {
		s.tell(frame.Credit, s.to, "", position)
	}
}
