package rpcstream

import (
	"runtime"
	"slices"

	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// The reader's side of a stream.

// take queues a message, or a part of one, that has come.
func (s *Stream) take(f frame.Frame) error {
	s.mu.Lock()
	if s.end.ended {
		s.mu.Unlock()
		return nil
	}
	if err := s.in.Take(f.Seq, len(f.Body)); err != nil {
		s.mu.Unlock()
		return err
	}
	if !s.sync.inUse {
		s.use(true)
	}
	if s.reading.dropped.Load() {
		s.mu.Unlock()
		s.consume(len(f.Body)) // in place of the reader, which takes no more
		return nil
	}
	s.arrived.queue = append(s.arrived.queue, arrival{f.Kind, f.Body})
	s.mu.Unlock()
	s.readable.Signal()
	return nil
}

// Recv waits for one message. EOF says that the other end has ended the stream well, and
// everything was read.
func (s *Stream) Recv() ([]byte, *status.Status) {
	s.reader.Lock()
	defer s.reader.Unlock()
	for {
		switch {
		case s.reader.failed != nil:
			return nil, s.reader.failed
		case s.reading.unwanted.Load():
			return nil, s.closedByReader()
		}
		for s.reader.at == len(s.reader.batch) || s.reading.dropped.Load() {
			why := s.fetch()
			if why == EOF && len(s.reader.parts) > 0 {
				return nil, s.refuse(status.Newf(status.DataLoss, "the stream of %s has ended in the middle of a message", s.Name))
			} else if why != nil {
				return nil, why
			}
		}
		a := s.reader.batch[s.reader.at]
		s.reader.batch[s.reader.at] = arrival{}
		s.reader.at++
		s.consume(len(a.body))
		body := a.body
		switch a.kind {
		case frame.Data:
			if len(s.reader.parts) > 0 {
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

// Refuse ends the stream because its reader cannot read a message.
func (s *Stream) Refuse(why *status.Status) {
	s.reader.Lock()
	defer s.reader.Unlock()
	s.refuse(why)
}

// refuse is Refuse with s.reader held. It returns why.
func (s *Stream) refuse(why *status.Status) *status.Status {
	s.releaseParts()
	s.reader.failed = why
	s.Abort(why, Dropping)
	return why
}

// fetch waits for frames and takes over all that have come, or returns how the stream has
// ended.
func (s *Stream) fetch() *status.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader.batch, s.reader.at = s.reader.batch[:0], 0
	if len(s.arrived.queue) == 0 && !s.end.ended {
		// In a flood the next message comes at once. To yield costs less than to sleep and be
		// woken for each message.
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	for len(s.arrived.queue) == 0 && !s.end.ended && !s.end.halfClosed && !s.reading.dropped.Load() && !s.reading.unwanted.Load() {
		s.arrived.idle = true
		s.readable.Wait()
		s.arrived.idle = false
	}
	switch {
	case s.reading.unwanted.Load():
		return s.closedByReader()
	case len(s.arrived.queue) > 0:
		s.reader.batch, s.arrived.queue = s.arrived.queue, s.reader.batch
		return nil
	case s.end.ended && s.end.status != nil:
		return s.end.status
	case s.hub.server && s.end.ended && !s.end.halfClosed:
		// The client may have been about to send more.
		return status.Newf(status.Canceled, "the handler of %s has returned, and the stream has ended before its client has sent all", s.Name)
	default:
		return EOF
	}
}

func (s *Stream) closedByReader() *status.Status {
	return status.Newf(status.Canceled, "the receiver of %s was closed", s.Name)
}

// Discard closes the reading: a reader that waits returns, and messages that still come
// are thrown away.
func (s *Stream) Discard() {
	s.mu.Lock()
	s.reading.unwanted.Store(true)
	s.readable.Broadcast()
	s.mu.Unlock()
	s.reader.Lock()
	defer s.reader.Unlock()
	s.mu.Lock()
	unread := slices.Concat(s.reader.batch[s.reader.at:], s.arrived.queue)
	s.reader.batch, s.reader.at, s.arrived.queue = nil, 0, nil
	for _, a := range unread {
		s.reader.consumed.Seq++
		s.reader.consumed.Bytes += uint64(len(a.body))
	}
	s.allow()
	position := s.position()
	s.reading.dropped.Store(true) // from here on take consumes
	s.mu.Unlock()
	s.tell(frame.Credit, s.to, "", position)
}

// consume counts a frame that was read, and gives the other end credit when that is due.
// s.reader is held, or dropped is set.
func (s *Stream) consume(size int) {
	s.reader.consumed.Seq++
	s.reader.consumed.Bytes += uint64(size)
	if s.reader.consumed.Reaches(s.reader.due) {
		s.grant()
	}
}

// allow moves the limit of the other end to a window beyond what was read; s.mu is held.
func (s *Stream) allow() {
	s.hub.transit.took(s.reader.consumed.Bytes - s.reader.counted)
	s.reader.counted = s.reader.consumed.Bytes
	s.in.Resize(s.hub.transit.window(s.Window, 0).Bytes)
	s.in.Grant(s.reader.consumed)
	s.reader.due = s.in.Due()
}

// grant tells the other end how far it may send.
func (s *Stream) grant() {
	s.mu.Lock()
	s.allow()
	useless := s.end.ended || s.in.Closed()
	position := s.position()
	s.mu.Unlock()
	if !useless {
		s.tell(frame.Credit, s.to, "", position)
	}
}
