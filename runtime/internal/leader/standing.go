package leader

import "github.com/aegisrpc/aegis/runtime/election"

// Observer is that of a candidate, and hears besides when it can stand again.
type Observer interface {
	election.Observer

	// Standing follows Problem, and comes at other times as well: nothing that is
	// known keeps the candidate from standing.
	Standing()
}

// standing tells when a candidate can stand again after a problem. Its methods are
// called within the elector's loop.
type standing struct {
	Observer

	reading bool // a read, or what was watched, is being looked at
	// problem: one was reported within this look.
	problem bool
	// unwritten: a problem was reported elsewhere. That a read succeeds does not end
	// it; that the candidate, or any other one, has written does.
	unwritten bool
	revision  uint64 // the last one that was seen since then, 0 for none
	// denied: NATS does not let the process hear itself, or be asked who leads. No read
	// and no write ends that, but another connection may, by the number of reconnects.
	denied   bool
	deniedAt uint64
}

// deny takes note of what NATS has denied to a connection, and passes it on.
func (s *standing) deny(reconnects uint64, err error) {
	s.denied, s.deniedAt = true, reconnects
	s.Observer.Problem(err)
}

// connected says which connection there is: where NATS still denies it, it has said so
// again.
func (s *standing) connected(reconnects uint64) { s.denied = s.denied && s.deniedAt == reconnects }

func (s *standing) stands() {
	if !s.denied {
		s.Standing()
	}
}

// Problem takes note, and passes it on.
func (s *standing) Problem(err error) {
	if s.reading {
		s.problem = true
	} else {
		s.unwritten, s.revision = true, 0
	}
	s.Observer.Problem(err)
}

// looked looks at an entry that was read or watched.
func (s *standing) looked(entry election.Entry, err error, look func()) {
	s.reading, s.problem = true, false
	look()
	s.reading = false
	if err != nil || s.problem {
		return
	}
	if s.unwritten && s.revision != 0 && entry.Revision > s.revision {
		s.unwritten = false
	}
	s.revision = entry.Revision
	if !s.unwritten {
		s.stands()
	}
}

// wrote follows a write.
func (s *standing) wrote(err error, look func()) {
	look()
	if err == nil {
		s.unwritten = false
		s.stands()
	}
}
