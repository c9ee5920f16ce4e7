package election

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// operationKind is what a candidate waits for from its store.
type operationKind uint8

const (
	noOperation operationKind = iota
	reading
	creating  // a vacant record, where there is none
	claiming  // a compare-and-set that begins a term
	renewing  // one that renews the lease
	releasing // one that releases it
)

// operation is the one operation that a candidate has under way.
type operation struct {
	kind     operationKind
	number   uint64
	sent     time.Duration // before it was sent
	deadline time.Duration
	epoch    *epoch // the connection before it was sent
	over     uint64 // what was to be overwritten, or known when a read began
	term     Term
}

// Candidate stands for one group. It is either a standby or holds a lease; what
// it knows of the record is in view, what it does as leader in tenure.
//
// Its methods are events of its process and share its rules: one at a time.
type Candidate struct {
	process  *Process
	config   Config
	store    Store
	observer Observer

	standing  bool
	resigning bool // Resigned is still owed
	next      time.Duration

	operation  operation
	operations uint64
	retryAt    time.Duration // nothing before, after a failure
	writeAt    time.Duration // no write before, after a refusal

	view    view
	peer    *peer // the process that leads, if it is another
	barred  time.Duration
	early   bool // S5: a window is being waited out
	earlyAt time.Duration

	lease   *Lease // nil for a standby
	tenure  tenure
	current atomic.Pointer[Lease]
}

// Lease returns the lease of the current term, nil for a standby. It is safe for
// concurrent use.
func (c *Candidate) Lease() *Lease { return c.current.Load() }

// Leader returns the last record seen, and whether it names a leader. It says who holds the lease, not who may act.
func (c *Candidate) Leader() (Record, bool) {
	e := &c.view.entry
	return e.Record, c.view.known && !e.Absent && e.Err == nil && !e.Record.Released && !e.Record.vacant()
}

// Timeout is how long an operation of the store may take before the candidate
// gives up on it.
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
// its lease so that those in flight can reply: the driver leaves the leader's
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

// OnRead brings the outcome of [Store.Read].
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

// OnWritten brings the outcome of [Store.Write]: the new revision; or an error,
// which wraps [ErrRefused] if the revision was not the last one. Any other error
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

// OnWatch brings a revision that [Store.Watch] reports.
func (c *Candidate) OnWatch(now Instant, entry Entry) {
	c.process.observe(now)
	if !c.view.known || entry.Created != c.view.entry.Created {
		return // of a bucket that is gone, or not read yet
	}
	if c.lease != nil {
		c.leaderWatch(now, entry)
	} else if entry.Revision > c.view.entry.Revision {
		c.see(now, entry)
	}
	c.step(now)
}

// onConnection gives up on what was under way: its outcome may never come, and
// would no longer tell anything about this connection (L2).
func (c *Candidate) onConnection(now Instant) {
	if c.process.mutation != ackOnAnyConnection {
		c.abandon()
	}
	c.view.mustRead = true // S7
	c.retryAt = now.Mono
	c.step(now)
}

// step does what is due and says when to come back.
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

// idle tells whether an operation can be started.
func (c *Candidate) idle(now Instant) bool {
	return c.operation.kind == noOperation && c.process.contact.connected() && now.Mono >= c.retryAt
}

func (c *Candidate) begin(now Instant, kind operationKind, over uint64, term Term) uint64 {
	c.operations++
	c.operation = operation{
		kind: kind, number: c.operations, sent: now.Mono, deadline: now.Mono + c.Timeout(),
		epoch: c.process.contact.epoch, over: over, term: term,
	}
	return c.operations
}

func (c *Candidate) read(now Instant) {
	c.store.Read(c.begin(now, reading, c.view.entry.Revision, 0))
}

// abandon forgets the operation under way. A write may still land: what is there
// has to be read before the next one (L5, S7). A read has to be made good, as a
// watch alone may hide what it would have shown.
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

// writeFailed handles a refusal and a failure alike: both leave open what the
// key holds (S7).
func (c *Candidate) writeFailed(now Instant, err error) {
	c.view.mustRead = true
	c.tenure.uncertain = true
	// The read may well show what was known: another write is in flight then.
	c.writeAt = now.Mono + c.config.Window/4
	if !errors.Is(err, ErrRefused) {
		c.retryAt = now.Mono + c.config.Window/2
		c.observer.Problem(fmt.Errorf("election: writing the leader record: %w", err))
	}
}

// record is what this candidate writes.
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

// mine tells whether this process wrote the record. The name is not enough: a
// process restarted under the same name is another, and the old one may still be
// there.
func (c *Candidate) mine(r *Record) bool {
	if c.process.mutation == instanceIsIdentity {
		return r.Instance == c.process.instance
	}
	return r.Process == c.process.id
}
