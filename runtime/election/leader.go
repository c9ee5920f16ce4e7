package election

import (
	"fmt"
	"time"
)

// phase is the stage that a term is in.
type phase uint8

const (
	phaseAwaiting  phase = iota // the record is written, contact is missing
	phaseLoading                // OnLeading runs
	phaseServing                // requests are handled
	phaseDraining               // asked to resign, replies are still sent
	phaseReleasing              // the leader acts no more, and the record does not say so yet
)

// tenure is the state of a leader's term.
type tenure struct {
	phase    phase
	revision uint64        // of the last write of this leader
	since    time.Time     // when the term began
	end      time.Duration // of the lease, also once the leader acts no more
	renewAt  time.Duration // when the lease is to be renewed
	covered  time.Duration // until when contact has covered the leader
	// written is the time before the last write was sent that counts for the lease, and
	// bound the connection that carried that write (L2).
	written time.Duration
	bound   *epoch
	// proof says that a read has shown this leader's record. proven is the time before the
	// last such read was sent, and before the first one that of the claim (L9).
	proof  bool
	proven time.Duration
	loaded bool // OnLeading has returned
	yields bool // the term ends by HandOver
	// uncertain says that the outcome of a write is unknown: the record is read first.
	uncertain bool
	suspended bool // the observer was told Suspended
	// named is how many probers the last write of this leader named. recruit says that one
	// more can be named.
	named   int
	recruit bool
}

// assume begins the term after its claim was stored.
func (c *Candidate) assume(now Instant, claim operation, revision uint64) {
	c.lease = newLease(claim.term, c.config.Window, c.tolerance())
	c.lease.ask(now) // the first calls of a term are soon to come
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

// tolerance returns how far the wall clock may run ahead of the monotonic one (L8).
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

// extend sets the end of the lease: one lease after the last write that counts, and after
// the last proof that the write went to the right bucket. A bucket that was made anew may
// have the old key as well, by a write that came late, and may take renewals of it. But
// the new leader waits a lease from when that bucket was made, and by then the leader that
// renews the old key has no proof any more (L9).
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

// proveAt returns when the leader has to read its record again: at once after a claim,
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

// operate starts the operation of the store that is due.
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

// leaderDue returns when lead has something to do.
func (c *Candidate) leaderDue(now Instant) time.Duration {
	t := &c.tenure
	due := t.end
	if t.phase < phaseReleasing {
		if resigns := t.covered + c.config.Lease; resigns > now.Mono {
			due = min(due, resigns)
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

// followContact tells the observer that contact was lost or is back (L4), and resigns if
// it stays away (L6).
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

// watchesGaps reports whether noticeGap has something to notice.
func (c *Candidate) watchesGaps() bool {
	t := &c.tenure
	return c.lease != nil && t.phase != phaseAwaiting && t.phase != phaseReleasing && !t.suspended
}

// noticeGap tells the observer that the leader is suspended. It is called before anything
// that could end the suspension, so that a reply that is held learns of that end. A leader
// that rests is not suspended: it has no contact, and none is missing.
func (c *Candidate) noticeGap(now Instant) {
	if !c.watchesGaps() || c.lease.calm(now) {
		return
	}
	c.tenure.suspended = true
	c.observer.Suspended(c.lease)
	c.process.repace(now)
}

// Led tells the outcome of OnLeading for the term. Without an error the leader serves.
// With an error it releases the lease, and does not stand for a lease and the margin.
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

// serve lets handlers start once OnLeading has returned and the bucket is proven.
func (c *Candidate) serve() {
	t := &c.tenure
	if t.phase != phaseLoading || !t.loaded || !t.proof && c.process.mutation != unproven {
		return
	}
	t.phase = phaseServing
	c.lease.serving.Store(true)
	c.observer.Serving(c.lease)
}

// drain lets no more handlers start. The lease is renewed until those that run have ended.
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

// Drained tells, after [Candidate.Resign], that no handler of the term runs any more.
func (c *Candidate) Drained(now Instant) {
	c.process.observe(now)
	if c.lease != nil && c.tenure.phase == phaseDraining {
		c.release(now, ErrResigned)
		c.step(now)
	}
}

// release ends the term. The record is released by a write, once it is certain which
// revision the write has to go over (L7).
func (c *Candidate) release(now Instant, cause error) {
	c.endLease(cause)
	c.tenure.phase = phaseReleasing
	c.next = now.Mono
}

// endLease makes the lease lost, and tells the observer once.
func (c *Candidate) endLease(cause error) {
	c.lease.serving.Store(false)
	c.lease.lose()
	c.current.Store(nil)
	if p := c.tenure.phase; p != phaseAwaiting && p != phaseReleasing {
		c.observer.Lost(c.lease, cause)
	}
}

// welcome has a new prober named at once while there are too few: without them only the
// slow probes notice a crash (S6).
func (c *Candidate) welcome(now Instant) {
	if c.lease != nil && c.tenure.phase < phaseReleasing && c.tenure.named < MaxProbers {
		c.tenure.recruit = true
		c.step(now)
	}
}

// renew is a compare-and-set of the record of this term.
func (c *Candidate) renew(now Instant) {
	c.write(now, renewing, false)
	c.process.contact.accompany(now, c.config.restPace())
}

// writeRelease is a compare-and-set and never a delete: a delete that comes late
// would remove the record of the next leader (L7).
func (c *Candidate) writeRelease(now Instant) {
	c.write(now, releasing, true)
}

// write sends the record of this term, released or not.
func (c *Candidate) write(now Instant, kind operationKind, release bool) {
	t := &c.tenure
	record := c.record(now, c.lease.term, t.since)
	record.Released = release
	t.recruit, t.named = false, record.probers()
	number := c.beginOperation(now, kind, t.revision, c.lease.term)
	c.store.Write(number, Write{
		Created: c.key(), Over: t.revision, Record: record,
		deletes: release && c.process.mutation == releaseByDelete,
	})
}

// released makes the leader a standby after the release was stored.
func (c *Candidate) released(now Instant, revision uint64) {
	record := c.record(now, c.lease.term, c.tenure.since)
	record.Released = true
	e := Entry{Created: c.view.entry.Created, Revision: revision, Record: record}
	if c.process.mutation == releaseByDelete {
		e.Absent, e.Record = true, Record{}
	}
	c.follow(now, e)
}

// leaderRead takes the entry that a leader has read. It tells whether a write whose outcome
// was unknown was stored, or that the record is gone. A record of this term gives the
// leader its revision, and never more time: nothing says when it was stored (L5).
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

// leaderWatch takes an entry that a leader was told of by its watch, and ends the term if
// it is of another process. After a claim the watch may still report older entries.
func (c *Candidate) leaderWatch(now Instant, e Entry) {
	own := e.Err == nil && !e.Absent && c.mine(&e.Record) && e.Record.Term == c.lease.term
	if e.Revision <= c.tenure.revision || own {
		return
	}
	c.superseded(now, e)
}

// superseded ends the term because of an entry that is not of this term.
func (c *Candidate) superseded(now Instant, e Entry) {
	c.endLease(ErrSuperseded)
	c.follow(now, e)
}

// stepDown ends the term because its time is over. The record is read then, and waited out
// in full from that moment on, also if this process wrote it (L5).
func (c *Candidate) stepDown(now Instant, cause error) {
	c.endLease(cause)
	c.view.known = false
	c.view.mustRead = true
	c.becomeStandby(now)
}

// follow makes the leader a standby that knows the entry.
func (c *Candidate) follow(now Instant, e Entry) {
	c.becomeStandby(now)
	c.see(now, e)
	c.view.readDue = now.Mono + c.config.Lease
}

// becomeStandby ends the leader's part. The caller has ended the lease.
func (c *Candidate) becomeStandby(now Instant) {
	c.lease = nil
	c.operation.kind = noOperation
	c.view.waitOwn = true
	c.process.repace(now)
}
