package leader

import "github.com/aegisrpc/aegis/runtime/election"

// Observer is told what becomes of a candidate, and besides when the candidate can stand
// again.
type Observer interface {
	election.Observer

	// Standing is called when no known problem keeps the candidate from standing: some
	// time after Problem, and at other times as well.
	Standing()
}

// standing finds out when a candidate can stand again after a problem. Its methods are
// called within the elector's loop, which alone uses its fields.
type standing struct {
	Observer

	reading bool // the candidate is handling an entry that was read or watched
	problem bool // it has reported a problem with that entry
	// unwritten is set by a problem with anything else, such as a write that fails. A read
	// that succeeds does not end such a problem; a write by any candidate does.
	unwritten bool
	revision  uint64 // the last revision that was seen since then, 0 for none
	// denied is set while NATS does not let the process hear itself, or be asked who leads.
	// No read and no write ends that, but another connection may.
	denied   bool
	deniedAt uint64 // the number of reconnects when NATS has said so
}

// deny notes that NATS has denied a right to a connection, and passes the error on.
func (s *standing) deny(reconnects uint64, err error) {
	s.denied, s.deniedAt = true, reconnects
	s.Observer.Problem(err)
}

// connected says which connection there is. Where NATS denies the same to it, NATS has
// said so again, so that an older denial is over.
func (s *standing) connected(reconnects uint64) { s.denied = s.denied && s.deniedAt == reconnects }

// tellStanding tells the observer that the candidate stands, unless NATS denies it that.
func (s *standing) tellStanding() {
	if !s.denied {
		s.Standing()
	}
}

// Problem notes what kind of problem the candidate has, and passes it on.
func (s *standing) Problem(err error) {
	if s.reading {
		s.problem = true
	} else {
		s.unwritten, s.revision = true, 0
	}
	s.Observer.Problem(err)
}

// seeEntry has the candidate handle an entry that was read or watched, and finds out
// whether the candidate can stand after that.
func (s *standing) seeEntry(entry election.Entry, err error, handle func()) {
	s.reading, s.problem = true, false
	handle()
	s.reading = false
	if err != nil || s.problem {
		return
	}
	if s.unwritten && s.revision != 0 && entry.Revision > s.revision {
		s.unwritten = false
	}
	s.revision = entry.Revision
	if !s.unwritten {
		s.tellStanding()
	}
}

// seeWrite has the candidate handle the outcome of its write.
func (s *standing) seeWrite(err error, handle func()) {
	handle()
	if err == nil {
		s.unwritten = false
		s.tellStanding()
	}
}
