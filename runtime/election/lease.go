package election

import (
	"sync/atomic"
	"time"
)

// Verdict says what the driver has to do with a reply that is ready.
type Verdict uint8

const (
	// ReplySend means that the reply may be sent now.
	ReplySend Verdict = iota
	// ReplyHold means that the leader is suspended: ask again after
	// [Observer.Resumed], and at [Lease.Until] at the latest.
	ReplyHold
	// ReplyLost means that the term is over: the caller gets LEADERSHIP_LOST.
	ReplyLost
)

// Lease is the permission to act for one term. Its methods take no lock, write nothing and
// are safe for concurrent use. MayAct and Reply must be given a time that was read after
// the request came or the reply was ready, by the clock that drives the process.
type Lease struct {
	term   Term
	window time.Duration
	// tolerance is how far the wall clock may run ahead (L8).
	tolerance time.Duration

	serving atomic.Bool
	// until is the end of the lease by the monotonic clock, zero once it is lost.
	until atomic.Int64
	// contact is the connection of the last write that counts for the lease.
	contact atomic.Pointer[epoch]
}

func newLease(term Term, window time.Duration, tolerance time.Duration) *Lease {
	l := &Lease{term: term, window: window, tolerance: tolerance}
	l.contact.Store(newEpoch(ConnID{}, Instant{}))
	return l
}

// Term returns the fencing token of the term.
func (l *Lease) Term() Term { return l.term }

// Until returns when the lease ends if it is not renewed, by the monotonic
// clock. It is zero or less for a lease that has ended.
func (l *Lease) Until() time.Duration { return time.Duration(l.until.Load()) }

// MayAct reports whether a handler may start now: OnLeading has returned, the
// lease has not ended, and there is contact (L1).
func (l *Lease) MayAct(now Instant) bool { return l.serving.Load() && l.holds(now) }

// Reply says what the driver has to do with a reply that is ready now (L1, L4). Handlers
// that were started before the candidate was asked to resign may still reply.
func (l *Lease) Reply(now Instant) Verdict {
	switch {
	case l.holds(now):
		return ReplySend
	case now.Mono < l.Until():
		return ReplyHold
	default:
		return ReplyLost
	}
}

// holds reports whether now is inside the lease and inside the contact window (L1).
func (l *Lease) holds(now Instant) bool {
	return now.Mono < l.Until() && l.contact.Load().covers(now, l.window, l.tolerance)
}

// bind gives the lease another end, and the connection that carried its write. The
// connection is stored first: a reader that sees it with the old end is still right.
func (l *Lease) bind(e *epoch, until time.Duration) {
	l.contact.Store(e)
	l.until.Store(int64(until))
}

// lose makes the lease lost for ever.
func (l *Lease) lose() { l.until.Store(int64(never)) }

// epoch is one identity of the connection, without a jump of the wall clock in
// between. Contact belongs to an epoch, and a lease to the epoch of its last
// write: contact on another connection can never extend it (L3).
type epoch struct {
	id ConnID
	// sent is when the last message to oneself was sent that has come back.
	sent atomic.Int64
	// skew is how far the wall clock was ahead of the monotonic one at that time.
	skew atomic.Int64
}

func newEpoch(id ConnID, now Instant) *epoch {
	e := &epoch{id: id}
	e.sent.Store(int64(never))
	e.skew.Store(int64(now.skew()))
	return e
}

func (e *epoch) lastSent() time.Duration { return time.Duration(e.sent.Load()) }

// covers reports whether there is contact (L3), and the machine was not suspended since
// then (L8).
func (e *epoch) covers(now Instant, window, tolerance time.Duration) bool {
	return now.Mono < e.lastSent()+window && !e.jumped(now, tolerance)
}

// jumped reports whether the wall clock has run ahead of the monotonic one, which stands
// still while a machine is suspended (L8).
func (e *epoch) jumped(now Instant, tolerance time.Duration) bool {
	return now.skew()-time.Duration(e.skew.Load()) > tolerance
}

// close takes back all contact of the epoch.
func (e *epoch) close() { e.sent.Store(int64(never)) }
