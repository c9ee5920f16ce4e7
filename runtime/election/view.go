package election

import "time"

// view is the knowledge that a candidate has of the record of its group.
type view struct {
	entry Entry
	known bool // the entry was read or watched
	// seenAt is when this state of the key was first seen: the start of every
	// wait for it (S2, S3).
	seenAt time.Duration
	// followed means that an earlier revision of the same bucket was known
	// before this one, so that what it shows has happened since.
	followed bool
	// probesBefore is the number of the last probe sent before this state was
	// known (S5 c).
	probesBefore uint64
	// waitOwn means that a record of this process is waited out like any other (L5).
	waitOwn bool

	mustRead bool          // the record is to be read at once
	readDue  time.Duration // when it is to be read at the latest

	// lease and window are the longest that any record has shown (S8), and highest is the
	// greatest term.
	lease, window time.Duration
	highest       Term
}

// see takes a new state of the key. Every wait starts anew, and what was learnt about the
// leader's process counts for the old state only.
func (c *Candidate) see(now Instant, e Entry) {
	v := &c.view
	last := v.entry
	continues := v.known && last.Created == e.Created && e.Revision > last.Revision
	keepsTimer := c.process.mutation == timerRunsOn && continues && last.Record.Term == e.Record.Term
	if !keepsTimer {
		v.seenAt = now.Mono // S2, S3
	}
	v.entry, v.known, v.followed = e, true, continues
	v.probesBefore = c.process.prober.number
	c.early, c.writeAt = false, 0
	c.learn(now, &e)
}

// learn keeps the greatest values that a record has shown, and has the leader's process
// probed.
func (c *Candidate) learn(now Instant, e *Entry) {
	leader := ""
	switch {
	case e.Err != nil:
		c.observer.Problem(e.Err)
	case e.Absent:
	default:
		v := &c.view
		v.lease = max(v.lease, e.Record.Lease)
		v.window = max(v.window, e.Record.Window)
		v.highest = max(v.highest, e.Record.Term)
		if !c.mine(&e.Record) {
			v.waitOwn = false
			if !e.Record.Released && !e.Record.vacant() {
				leader = e.Record.Process
			}
		}
	}
	c.process.prober.attach(now, c, leader)
}

// leaseWait returns how long the lease of another process may still run (S2, S8).
func (c *Candidate) leaseWait() time.Duration {
	wait := c.config.Lease
	if c.process.mutation != ownLeaseOnly {
		wait = max(wait, c.view.lease)
	}
	if c.process.mutation == noLeaseMargin {
		return wait
	}
	return widen(wait)
}

// windowWait returns how long the contact of another process may still count (S5, S8).
func (c *Candidate) windowWait() time.Duration {
	wait := max(c.config.Window, c.view.window)
	switch c.process.mutation {
	case noWindowMargin:
		return wait
	case noWindowWait:
		return 0
	default:
		return widen(wait)
	}
}

// nextTerm returns a term above all that this process has seen. The bucket's
// creation and the wall clock lift it above terms that were lost with a bucket
// or a roll-back, or that were seen only by processes that are gone.
func (c *Candidate) nextTerm(now Instant) (Term, error) {
	v := &c.view
	highest := v.highest
	if created := v.entry.Created; created > 0 {
		highest = max(highest, Term(created/int64(time.Microsecond))+1)
	}
	if wall := now.Wall / time.Microsecond; wall > 0 && c.process.mutation != termFromRecord {
		highest = max(highest, Term(wall))
	}
	if highest >= maxTerm {
		return 0, ErrTermExhausted
	}
	return highest + 1, nil
}
