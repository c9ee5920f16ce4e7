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
	// ReplyHold means that the leader is suspended, or rests: call [Process.Rouse], and
	// ask again after [Observer.Resumed], the next [Process.OnEcho], and at [Lease.Until]
	// at the latest.
	ReplyHold
	// ReplyLost means that the term is over: the caller gets LEADERSHIP_LOST.
	ReplyLost
)

// Lease is the permission to act for one term. Its methods take no lock, write a word once
// in a window at most, and are safe for concurrent use. MayAct and Reply must be given a
// time that was read after the request came or the reply was ready, by the clock that
// drives the process.
//
// A leader that was not asked for a lease rests: it sends itself few messages (L3), so that
// it has no contact most of the time. MayAct is false then, and Rests says why.
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
	// asked is when MayAct or Reply was called last, up to a window before that.
	asked atomic.Int64
}

func newLease(term Term, window time.Duration, tolerance time.Duration) *Lease {
	l := &Lease{term: term, window: window, tolerance: tolerance}
	l.contact.Store(newEpoch(ConnID{}, Instant{}))
	l.asked.Store(int64(never))
	return l
}

// Term returns the fencing token of the term.
func (l *Lease) Term() Term { return l.term }

// Until returns when the lease ends if it is not renewed, by the monotonic
// clock. It is zero or less for a lease that has ended.
func (l *Lease) Until() time.Duration { return time.Duration(l.until.Load()) }

// MayAct reports whether a handler may start now: OnLeading has returned, the
// lease has not ended, and there is contact (L1).
func (l *Lease) MayAct(now Instant) bool {
	l.ask(now)
	return l.serving.Load() && l.holds(now)
}

// Rests reports whether MayAct is false for want of contact alone that nobody has needed:
// all messages to oneself have come back, or the last one is still young. Then call
// [Process.Rouse], and MayAct again after the next [Process.OnEcho].
func (l *Lease) Rests(now Instant) bool {
	return l.serving.Load() && l.calm(now) && !l.holds(now)
}

// ask notes that somebody wants to act.
func (l *Lease) ask(now Instant) {
	if now.Mono > time.Duration(l.asked.Load())+l.window {
		l.asked.Store(int64(now.Mono))
	}
}

// askedWithin reports whether somebody wanted to act not longer ago than d.
func (l *Lease) askedWithin(now Instant, d time.Duration) bool {
	return now.Mono <= time.Duration(l.asked.Load())+d
}

// Reply says what the driver has to do with a reply that is ready now (L1, L4). Handlers
// that were started before the candidate was asked to resign may still reply.
func (l *Lease) Reply(now Instant) Verdict {
	l.ask(now)
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

// calm reports whether the leader is inside its lease, and as far as is known would have
// contact if it had asked for it (L4).
func (l *Lease) calm(now Instant) bool {
	return now.Mono < l.Until() && l.contact.Load().calm(now, l.window, l.tolerance)
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
	// awaited is when the oldest message to oneself was sent that may still come back:
	// forever if all have, never if none has or the connection is another one by now.
	awaited atomic.Int64
	// skew is how far the wall clock was ahead of the monotonic one at that time.
	skew atomic.Int64
}

func newEpoch(id ConnID, now Instant) *epoch {
	e := &epoch{id: id}
	e.sent.Store(int64(never))
	e.awaited.Store(int64(never))
	e.skew.Store(int64(now.skew()))
	return e
}

func (e *epoch) lastSent() time.Duration { return time.Duration(e.sent.Load()) }

// covers reports whether there is contact (L3), and the machine was not suspended since
// then (L8).
func (e *epoch) covers(now Instant, window, tolerance time.Duration) bool {
	return now.Mono < e.lastSent()+window && !e.jumped(now, tolerance)
}

// calm reports whether there is contact, or no message to oneself is missing: one that was
// sent less than a window ago may still come back.
func (e *epoch) calm(now Instant, window, tolerance time.Duration) bool {
	return now.Mono < e.calmUntil()+window && !e.jumped(now, tolerance)
}

// calmUntil returns a window less than the time at which calm ends if no message to
// oneself comes back until then.
func (e *epoch) calmUntil() time.Duration {
	return max(e.lastSent(), time.Duration(e.awaited.Load()))
}

// jumped reports whether the wall clock has run ahead of the monotonic one, which stands
// still while a machine is suspended (L8).
func (e *epoch) jumped(now Instant, tolerance time.Duration) bool {
	return now.skew()-time.Duration(e.skew.Load()) > tolerance
}

// close takes back all contact of the epoch.
func (e *epoch) close() {
	e.awaited.Store(int64(never))
	e.sent.Store(int64(never))
}

// leave says that the connection is another one by now: contact lasts to the end of its
// window, and no message comes back any more.
func (e *epoch) leave() { e.awaited.Store(int64(never)) }
