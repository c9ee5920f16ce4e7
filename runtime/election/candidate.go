package election

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// operationKind is the kind of operation whose outcome a candidate waits for.
type operationKind uint8

const (
	noOperation operationKind = iota
	reading
	creating  // writes a vacant record, where there is none
	claiming  // a compare-and-set that begins a term
	renewing  // a compare-and-set that renews the lease
	releasing // a compare-and-set that releases the lease
)

// operation is the operation of its store that a candidate has under way. There is at
// most one.
type operation struct {
	kind     operationKind
	number   uint64
	sent     time.Duration // the time before it was sent
	deadline time.Duration
	epoch    *epoch // the connection before it was sent
	over     uint64 // the revision that a write goes over, or that was known when a read began
	term     Term
}

// Candidate stands for election in one group. It is either a standby or holds a lease:
// its view has what it knows of the record, its tenure what it does as the leader.
//
// Its methods are events of its [Process], and follow the same rule: one at a time. Lease
// alone is safe for concurrent use.
type Candidate struct {
	process  *Process
	config   Config
	store    Store
	observer Observer

	standing  bool
	resigning bool          // the observer is still to be told Resigned
	next      time.Duration // when step has to be called at the latest

	operation  operation
	operations uint64        // counts them, for their numbers
	retryAt    time.Duration // after a failure: no operation before
	writeAt    time.Duration // after a refusal: no write before

	view    view
	peer    *peer         // the process that leads, nil if none is known or this one leads
	barred  time.Duration // after OnLeading has failed: no claim before
	early   bool          // S5: the window of the leader is being waited out
	earlyAt time.Duration // when it ends

	lease   *Lease // nil for a standby
	tenure  tenure
	current atomic.Pointer[Lease] // the lease while it may be used, for Lease
}

// Lease returns the lease of the current term, nil for a standby. It is safe for
// concurrent use.
func (c *Candidate) Lease() *Lease { return c.current.Load() }

// Leader returns the record that was seen last, and whether it names a leader. It says
// which process holds the lease, and not whether that process may act.
func (c *Candidate) Leader() (Record, bool) {
	e := &c.view.entry
	return e.Record, c.view.known && !e.Absent && e.Err == nil && !e.Record.Released && !e.Record.vacant()
}

// Timeout returns how long an operation of the store may take before the candidate gives
// up on it.
func (c *Candidate) Timeout() time.Duration { return c.config.Lease / operationsPerLease }

// Stand makes the candidate stand for election until [Candidate.Resign].
func (c *Candidate) Stand(now Instant) {
	c.process.observe(now)
	c.standing = true
	c.view.mustRead = true
	c.process.repace(now)
	c.step(now)
}

// Resign ends the candidacy. A leader starts no handler from now on, but keeps
// its lease so that handlers that run can reply: the driver leaves the leader's
// subject, waits for OnLeading and the handlers, and calls [Candidate.Drained].
// [Observer.Resigned] follows in any case; until then ticks and events must go
// on. The candidate can stand again afterwards.
func (c *Candidate) Resign(now Instant) {
	c.process.observe(now)
	c.standing = false
	c.resigning = true
	if c.lease != nil {
		c.drain(now)
	}
	if c.peer != nil {
		c.peer.retime(now)
	}
	c.process.repace(now)
	c.step(now)
}

// OnRead tells the outcome of [Store.Read].
func (c *Candidate) OnRead(now Instant, number uint64, entry Entry, err error) {
	c.process.observe(now)
	op := c.operation
	if op.kind != reading || op.number != number {
		return
	}
	c.operation.kind = noOperation
	switch {
	case err != nil:
		c.readFailed(now, err)
	case c.lease != nil:
		c.leaderRead(now, entry, op.sent)
	default:
		c.standbyRead(now, entry, op.over)
	}
	c.step(now)
}

// OnWritten tells the outcome of [Store.Write]: the new revision, or an error, which wraps [ErrRefused] if the revision was not the last one. Any other error
// leaves open whether the write landed.
func (c *Candidate) OnWritten(now Instant, number, revision uint64, err error) {
	c.process.observe(now)
	op := c.operation
	if op.kind <= reading || op.number != number {
		return
	}
	c.operation.kind = noOperation
	switch {
	case err != nil:
		c.writeFailed(now, err)
	case op.kind == creating:
		c.view.mustRead = true // it may have landed in a bucket that was made anew
	case op.kind == claiming:
		c.assume(now, op, revision)
	case op.kind == renewing:
		c.renewed(now, op, revision)
	case op.kind == releasing:
		c.released(now, revision)
	}
	c.step(now)
}

// OnWatch tells of a revision that [Store.Watch] reports.
func (c *Candidate) OnWatch(now Instant, entry Entry) {
	c.process.observe(now)
	if !c.view.known || entry.Created != c.view.entry.Created {
		return // it is of a bucket that is gone, or that was not read yet
	}
	if c.lease != nil {
		c.leaderWatch(now, entry)
	} else if entry.Revision > c.view.entry.Revision {
		c.see(now, entry)
	}
	c.step(now)
}

// onConnection gives up on the operation under way: its outcome may never come, and says
// nothing about the new connection (L2).
func (c *Candidate) onConnection(now Instant) {
	if c.process.mutation != ackOnAnyConnection {
		c.abandon()
	}
	c.view.mustRead = true // S7
	c.retryAt = now.Mono
	c.step(now)
}

// stepAt returns when step has to be called: other than all else that is due, the time at
// which a leader is suspended changes with each message to oneself.
func (c *Candidate) stepAt() time.Duration {
	if !c.watchesGaps() {
		return c.next
	}
	return min(c.next, c.lease.contact.Load().calmUntil()+c.config.Window)
}

// step does what is due, and sets when step has to be called again.
func (c *Candidate) step(now Instant) {
	if c.operation.kind != noOperation && now.Mono >= c.operation.deadline {
		c.abandon()
	}
	if c.lease != nil {
		c.lead(now)
	}
	if c.lease == nil {
		c.standBy(now)
	}
	c.next = c.due(now)
}

// due returns when step has something to do.
func (c *Candidate) due(now Instant) time.Duration {
	due := forever
	if c.operation.kind != noOperation {
		due = c.operation.deadline
	}
	if c.lease != nil {
		return min(due, c.leaderDue(now))
	}
	return min(due, c.standbyDue(now))
}

// idle reports whether an operation can be started.
func (c *Candidate) idle(now Instant) bool {
	return c.operation.kind == noOperation && c.process.contact.connected() && now.Mono >= c.retryAt
}

// beginOperation notes that an operation is about to be sent, and returns its number.
func (c *Candidate) beginOperation(now Instant, kind operationKind, over uint64, term Term) uint64 {
	c.operations++
	c.operation = operation{
		kind: kind, number: c.operations, sent: now.Mono, deadline: now.Mono + c.Timeout(),
		epoch: c.process.contact.epoch, over: over, term: term,
	}
	return c.operations
}

// read asks the store for the record.
func (c *Candidate) read(now Instant) {
	c.store.Read(c.beginOperation(now, reading, c.view.entry.Revision, 0))
}

// abandon gives up on the operation under way. A write may still be applied, so that the
// record has to be read before the next write (L5, S7). A read has to be repeated, as a
// watch alone may hide the entry that it would have shown.
func (c *Candidate) abandon() {
	switch c.operation.kind {
	case reading, creating, claiming:
		c.view.mustRead = true
	case renewing, releasing:
		c.tenure.uncertain = true
	case noOperation:
	}
	c.operation.kind = noOperation
}

func (c *Candidate) readFailed(now Instant, err error) {
	c.view.mustRead = true
	c.retryAt = now.Mono + c.config.Window/2
	c.observer.Problem(fmt.Errorf("election: reading the leader record: %w", err))
}

// writeFailed handles a write that was refused, and one whose outcome is unknown. After
// either the candidate does not know which record there is (S7).
func (c *Candidate) writeFailed(now Instant, err error) {
	c.view.mustRead = true
	c.tenure.uncertain = true
	// If the read shows the record that was known, another write is still under way.
	c.writeAt = now.Mono + c.config.Window/4
	if !errors.Is(err, ErrRefused) {
		c.retryAt = now.Mono + c.config.Window/2
		c.observer.Problem(fmt.Errorf("election: writing the leader record: %w", err))
	}
}

// record returns the record that this candidate writes.
func (c *Candidate) record(now Instant, term Term, since time.Time) Record {
	p := c.process
	probers, standbys := p.prober.choose(now, c.config.Lease)
	return Record{
		Instance: p.instance,
		Process:  p.id,
		Term:     term,
		ServerID: p.contact.epoch.id.ServerID,
		Since:    since,
		Lease:    c.config.Lease,
		Window:   c.config.Window,
		Probers:  probers,
		Standbys: standbys,
	}
}

// mine reports whether this process wrote the record. The name of the instance does not
// tell: a process that was restarted under the same name is another one, and the old one
// may still run.
func (c *Candidate) mine(r *Record) bool {
	if c.process.mutation == instanceIsIdentity {
		return r.Instance == c.process.instance
	}
	return r.Process == c.process.id
}
