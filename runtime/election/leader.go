package election

import (
	"fmt"
	"time"
)

// phase is how far a term has come.
type phase uint8

const (
	phaseAwaiting  phase = iota // the record is written, contact is missing
	phaseLoading                // OnLeading runs
	phaseServing                // requests are handled
	phaseDraining               // asked to resign, replies are still sent
	phaseReleasing              // acts no more, the record says otherwise
)

// tenure is what a leader keeps for its term.
type tenure struct {
	phase    phase
	revision uint64 // of the own last write
	since    time.Time
	end      time.Duration // of the lease, also once it acts no more
	renewAt  time.Duration
	covered  time.Duration // until when there was contact
	// written is the time before the last write that binds was sent, and bound
	// the connection that carried it (L2).
	written time.Duration
	bound   *epoch
	// proof is whether a read has shown the own record, and proven the time before
	// the last one was sent, until the first that of the claim (L9).
	proof  bool
	proven time.Duration
	loaded bool // OnLeading has returned
	// uncertain means that a write may or may not have landed: read first.
	uncertain bool
	suspended bool
	// named is how many probers the own last write named, recruit that there is
	// one more to name.
	named   int
	recruit bool
}

// assume begins the term that the claim was for.
func (c *Candidate) assume(now Instant, claim operation, revision uint64) {
	c.lease = newLease(claim.term, c.config.Window, c.tolerance())
	c.early = false
	c.view.waitOwn = false
	c.process.prober.attach(now, c, "")
	c.tenure = tenure{
		phase: phaseAwaiting, since: wallTime(now),
		end: claim.sent + c.config.Lease, proven: claim.sent, covered: now.Mono,
	}
	c.renewed(now, claim, revision)
	c.current.Store(c.lease)
	c.process.repace(now)
	if c.resigning {
		c.release(now, ErrResigned)
	}
}

// tolerance is how far the wall clock may run ahead (L8).
func (c *Candidate) tolerance() time.Duration {
	if c.process.mutation == noWallClock {
		return forever
	}
	return c.config.Window / 2
}

// renewed starts the lease anew from before the write was sent, if the write and
// its acknowledgement went over one connection, the one that the record names
// (L2). Otherwise only the revision counts, and the next renewal follows at once.
func (c *Candidate) renewed(now Instant, op operation, revision uint64) {
	t := &c.tenure
	t.revision = revision
	t.renewAt = op.sent + c.config.Lease/operationsPerLease
	bound := c.process.contact.epoch
	if op.epoch != bound && c.process.mutation != ackOnAnyConnection {
		return
	}
	t.written, t.bound = op.sent, bound
	if c.process.mutation == leaseFromAck {
		t.written = now.Mono
	}
	c.extend(now)
}

// extend sets the end of the lease: a lease after the last write that binds, and
// after the last proof that it went to the right bucket. A bucket that was made
// anew may hold an old key too, by a write that came late, and take renewals of
// it; but its new leader waits a lease from when it was made, and then nobody has
// proof any more who renews the old key (L9).
func (c *Candidate) extend(now Instant) {
	t := &c.tenure
	if t.bound == nil {
		return
	}
	t.end = t.written + c.config.Lease
	if c.process.mutation != unproven {
		t.end = min(t.end, t.proven+c.config.Lease)
	}
	c.noticeGap(now)
	if t.phase < phaseReleasing {
		c.lease.bind(t.bound, t.end)
	}
}

// proveAt is when the own record is to be read again: at once after a claim,
// then twice per lease (L9).
func (c *Candidate) proveAt() time.Duration {
	switch t := &c.tenure; {
	case c.process.mutation == unproven:
		return forever
	case !t.proof:
		return never
	default:
		return t.proven + c.config.Lease/proofsPerLease
	}
}

// lead does what is due for a leader.
func (c *Candidate) lead(now Instant) {
	if now.Mono >= c.tenure.end {
		c.stepDown(now, ErrLeaseExpired) // L5
		return
	}
	c.followContact(now)
	if c.idle(now) {
		c.operate(now)
	}
}

// operate starts the store operation that is due.
func (c *Candidate) operate(now Instant) {
	t := &c.tenure
	switch {
	case t.uncertain:
		c.read(now)
	case t.phase == phaseReleasing:
		if now.Mono >= c.writeAt {
			c.writeRelease(now)
		}
	case c.proveAt() == never:
		c.read(now)
	case now.Mono >= c.writeAt && (now.Mono >= t.renewAt || t.recruit || t.bound != c.process.contact.epoch):
		c.renew(now) // L2, and L3: a new identity renews first
	case now.Mono >= c.proveAt():
		c.read(now)
	}
}

func (c *Candidate) leaderDue(now Instant) time.Duration {
	t := &c.tenure
	due := t.end
	if t.phase < phaseReleasing {
		if resigns := t.covered + c.config.Lease; resigns > now.Mono {
			due = min(due, resigns)
		}
		if ends := c.lease.contact.Load().lastSent() + c.config.Window; ends > now.Mono {
			due = min(due, ends)
		}
	}
	if c.operation.kind != noOperation || !c.process.contact.connected() {
		return due
	}
	switch {
	case t.uncertain:
		return min(due, c.retryAt)
	case t.phase == phaseReleasing:
		return min(due, max(c.retryAt, c.writeAt))
	case t.recruit:
		return min(due, max(c.retryAt, c.writeAt))
	default:
		return min(due, max(c.retryAt, min(max(c.writeAt, t.renewAt), c.proveAt())))
	}
}

// followContact tells the observer when contact comes and goes (L4), and resigns
// when it stays away (L6).
func (c *Candidate) followContact(now Instant) {
	t := &c.tenure
	if t.phase == phaseReleasing {
		return
	}
	c.noticeGap(now)
	t.covered = max(t.covered, c.lease.contact.Load().lastSent()+c.config.Window)
	switch holds := c.lease.holds(now); {
	case holds && t.phase == phaseAwaiting:
		t.phase = phaseLoading
		c.observer.Leading(c.lease)
	case holds && t.suspended:
		t.suspended = false
		c.observer.Resumed(c.lease)
	}
	if now.Mono >= t.covered+c.config.Lease && c.process.mutation != neverResign {
		c.release(now, ErrNoContact)
	}
}

// noticeGap reports that the leader is suspended. It comes before anything that
// could end the gap, so that a reply held in it is sure to hear of the end.
func (c *Candidate) noticeGap(now Instant) {
	t := &c.tenure
	if t.phase == phaseAwaiting || t.phase == phaseReleasing || t.suspended || c.lease.holds(now) {
		return
	}
	t.suspended = true
	c.observer.Suspended(c.lease)
}

// Led brings the outcome of OnLeading for the term. Without an error the leader
// serves; with one it releases the lease and stands for nothing for a lease and
// the margin.
func (c *Candidate) Led(now Instant, term Term, err error) {
	c.process.observe(now)
	if c.lease == nil || c.lease.term != term || c.tenure.phase != phaseLoading {
		return
	}
	if err != nil {
		c.barred = now.Mono + c.leaseWait()
		c.release(now, fmt.Errorf("%w: %w", ErrNotReady, err))
	} else {
		c.tenure.loaded = true
		c.serve()
	}
	c.step(now)
}

// serve lets requests in once OnLeading has returned and the bucket is proven.
func (c *Candidate) serve() {
	t := &c.tenure
	if t.phase != phaseLoading || !t.loaded || !t.proof && c.process.mutation != unproven {
		return
	}
	t.phase = phaseServing
	c.lease.serving.Store(true)
	c.observer.Serving(c.lease)
}

// drain stops new handlers. The lease is renewed until those in flight are done.
func (c *Candidate) drain(now Instant) {
	switch c.tenure.phase {
	case phaseAwaiting:
		c.release(now, ErrResigned)
	case phaseLoading, phaseServing:
		c.lease.serving.Store(false)
		c.tenure.phase = phaseDraining
	case phaseDraining, phaseReleasing:
	}
}

// Drained tells that nothing of the term is in flight any more, after
// [Candidate.Resign].
func (c *Candidate) Drained(now Instant) {
	c.process.observe(now)
	if c.lease != nil && c.tenure.phase == phaseDraining {
		c.release(now, ErrResigned)
		c.step(now)
	}
}

// release stops acting. The write follows once it is certain what it has to go
// over (L7).
func (c *Candidate) release(now Instant, cause error) {
	c.endLease(cause)
	c.tenure.phase = phaseReleasing
	c.next = now.Mono
}

// endLease makes the lease lost and reports it once.
func (c *Candidate) endLease(cause error) {
	c.lease.serving.Store(false)
	c.lease.end()
	c.current.Store(nil)
	if p := c.tenure.phase; p != phaseAwaiting && p != phaseReleasing {
		c.observer.Lost(c.lease, cause)
	}
}

// welcome names a new prober at once while there are too few: until then a crash
// is noticed by the slow probes only (S6).
func (c *Candidate) welcome(now Instant) {
	if c.lease != nil && c.tenure.phase < phaseReleasing && c.tenure.named < MaxProbers {
		c.tenure.recruit = true
		c.step(now)
	}
}

func (c *Candidate) renew(now Instant) {
	c.write(now, renewing, false)
}

// writeRelease is a compare-and-set and never a delete: a delete that comes late
// would remove the record of the next leader (L7).
func (c *Candidate) writeRelease(now Instant) {
	c.write(now, releasing, true)
}

func (c *Candidate) write(now Instant, kind operationKind, release bool) {
	t := &c.tenure
	record := c.record(now, c.lease.term, t.since)
	record.Released = release
	t.recruit, t.named = false, record.probers()
	number := c.begin(now, kind, t.revision, c.lease.term)
	c.store.Write(number, Write{
		Created: c.key(), Over: t.revision, Record: record,
		deletes: release && c.process.mutation == releaseByDelete,
	})
}

// released ends the term with a record that says so.
func (c *Candidate) released(now Instant, revision uint64) {
	record := c.record(now, c.lease.term, c.tenure.since)
	record.Released = true
	e := Entry{Created: c.view.entry.Created, Revision: revision, Record: record}
	if c.process.mutation == releaseByDelete {
		e.Absent, e.Record = true, Record{}
	}
	c.follow(now, e)
}

// leaderRead settles what became of a write, or finds the record gone. The own
// record gives its revision and never its time: nobody knows when that write was
// applied (L5).
func (c *Candidate) leaderRead(now Instant, e Entry, sent time.Duration) {
	t := &c.tenure
	own := e.Created == c.view.entry.Created && e.Err == nil && !e.Absent &&
		c.mine(&e.Record) && e.Record.Term == c.lease.term
	if !own || e.Record.Released {
		c.superseded(now, e)
		c.store.Watch(e.Created)
		return
	}
	t.uncertain = false
	if e.Revision != t.revision {
		c.writeAt = 0
	}
	t.revision = e.Revision
	t.proof, t.proven = true, sent
	c.extend(now)
	c.serve()
}

// leaderWatch looks for another's record. Old ones still come by after a claim.
func (c *Candidate) leaderWatch(now Instant, e Entry) {
	own := e.Err == nil && !e.Absent && c.mine(&e.Record) && e.Record.Term == c.lease.term
	if e.Revision <= c.tenure.revision || own {
		return
	}
	c.superseded(now, e)
}

// superseded ends the term because of what the key holds.
func (c *Candidate) superseded(now Instant, e Entry) {
	c.endLease(ErrSuperseded)
	c.follow(now, e)
}

// stepDown ends the term because its time is over. What is there now is read,
// and waited out in full from then on, also if it is the own record (L5).
func (c *Candidate) stepDown(now Instant, cause error) {
	c.endLease(cause)
	c.view.known = false
	c.view.mustRead = true
	c.becomeStandby(now)
}

// follow makes the leader a standby that knows what the key holds.
func (c *Candidate) follow(now Instant, e Entry) {
	c.becomeStandby(now)
	c.see(now, e)
	c.view.readDue = now.Mono + c.config.Lease
}

func (c *Candidate) becomeStandby(now Instant) {
	c.lease = nil
	c.operation.kind = noOperation
	c.view.waitOwn = true
	c.process.repace(now)
}
