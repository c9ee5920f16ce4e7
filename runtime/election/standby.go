package election

import (
	"fmt"
	"time"
)

// standBy does what is due for a standby: read, or claim the lease.
func (c *Candidate) standBy(now Instant) {
	if c.resigning && c.operation.kind != claiming {
		c.resigning = false
		c.observer.Resigned()
	}
	if !c.standing || !c.idle(now) {
		return
	}
	switch {
	case c.view.mustRead:
		c.view.mustRead = false
		c.read(now)
	case c.mayClaim(now):
		c.claim(now)
	case now.Mono >= c.view.readDue:
		c.read(now) // S7: once per lease
	}
}

func (c *Candidate) standbyDue(now Instant) time.Duration {
	if c.operation.kind != noOperation || !c.standing || !c.process.contact.connected() {
		return forever
	}
	if c.view.mustRead {
		return c.retryAt
	}
	due := max(c.view.readDue, c.retryAt)
	if at := c.claimAt(); at > now.Mono {
		due = min(due, at)
	} // else it waits for contact, which comes as an event
	return due
}

// mayClaim adds S1: one who does not hear himself could not act.
func (c *Candidate) mayClaim(now Instant) bool {
	return now.Mono >= c.claimAt() && c.process.contact.within(now, standWindows*c.config.Window)
}

// claimAt is when the record may be overwritten, as far as is known now.
func (c *Candidate) claimAt() time.Duration {
	v := &c.view
	if !v.known || v.entry.Err != nil {
		return forever // never over what is not understood
	}
	at := v.seenAt + c.leaseWait() // S2, S3
	switch r := &v.entry.Record; {
	case v.entry.Absent:
		if c.createsFirst() || c.absenceCounts() {
			at = v.seenAt
		}
	case r.vacant():
	case r.Released:
		if v.followed || !c.config.AwaitUnseenRelease {
			at = v.seenAt // S4
		}
	case c.mine(r) && !v.waitOwn:
		at = v.seenAt // a claim whose acknowledgement did not come
	case c.early:
		at = min(at, c.earlyAt) // S5
	}
	return max(at, c.barred, c.retryAt, c.writeAt)
}

// createsFirst tells whether the wait for an absent record (S3) is to be spent on
// a vacant record. A key without a revision looks the same before it was written
// and after it was purged, and a late create would land in either; a revision is
// there once. So nothing is ever claimed but a revision.
func (c *Candidate) createsFirst() bool {
	e := &c.view.entry
	return e.Absent && e.Revision == 0 && c.process.mutation != createLeads && !c.absenceCounts()
}

// absenceCounts is false: absence is no release (S3).
func (c *Candidate) absenceCounts() bool {
	switch c.process.mutation {
	case absenceReleases:
		return true
	case releaseByDelete:
		return c.view.entry.Revision > 0
	default:
		return false
	}
}

// claim writes a record of a new term over exactly the revision that was waited
// out, or a vacant one where there is none.
func (c *Candidate) claim(now Instant) {
	term, err := c.nextTerm(now)
	if err != nil {
		c.retryAt = now.Mono + c.config.Lease
		c.observer.Problem(fmt.Errorf("%w: correct this machine's clock, or remove the record if its term %d is wrong",
			err, c.view.highest))
		return
	}
	c.view.highest = term // not used again, whatever becomes of this write
	record := c.record(now, term, wallTime(now))
	kind := claiming
	if c.createsFirst() {
		kind, record.ServerID = creating, ""
	} else {
		c.view.waitOwn = false // an own record found later is a claim that landed unseen
	}
	over := c.view.entry.Revision
	// A standby talks to itself seldom: without this the new leader might be
	// suspended as soon as it has been elected.
	c.process.contact.refresh(now)
	number := c.begin(now, kind, over, term)
	c.store.Write(number, Write{Created: c.key(), Over: over, Record: record})
}

// key is the creation time that is part of the key.
func (c *Candidate) key() int64 {
	if c.process.mutation == keyWithoutCreation {
		return 0
	}
	return c.view.entry.Created
}

// standbyRead compares what was read with what is known. The revision known when
// the read began tells an older state of the store (S7) from an answer that a
// watched revision has overtaken.
func (c *Candidate) standbyRead(now Instant, e Entry, knownBefore uint64) {
	v := &c.view
	v.readDue = now.Mono + c.config.Lease
	known := &v.entry
	switch {
	case !v.known || e.Created != known.Created || e.Revision < knownBefore:
		c.see(now, e)
		c.store.Watch(e.Created) // one that resumes after its last revision would miss it
	case e.Revision < known.Revision || e.shows(*known):
	default:
		c.see(now, e)
	}
}

// probeInterval is how often this candidate wants the leader's process probed;
// zero for not at all (S5 b, S6).
func (c *Candidate) probeInterval() time.Duration {
	if c.lease != nil || !c.standing || c.config.DisableEarlyTakeover {
		return 0
	}
	record := &c.view.entry.Record
	if record.ServerID != c.process.contact.epoch.id.ServerID && c.process.mutation != anyServer {
		return 0 // a lost route looks the same as a death
	}
	if c.early {
		return c.config.Probe
	}
	for _, named := range record.Probers {
		if named == c.process.id {
			return c.config.Probe
		}
	}
	return min(slowProbe*time.Duration(max(record.Standbys-MaxProbers, 1)), slowestProbe)
}

// onSilence starts to wait out the leader's window: nobody was subscribed to the
// liveness subject of its process when this probe arrived (S5). The connection
// that wrote the record was closed before, so its contact ends within a window.
func (c *Candidate) onSilence(now Instant, number uint64) {
	stale := number <= c.view.probesBefore && c.process.mutation != staleNoResponders
	if c.early || stale || c.probeInterval() == 0 {
		return
	}
	c.early = true
	c.earlyAt = now.Mono + c.windowWait()
	c.next = min(c.next, c.earlyAt)
}

// wallTime is for people: nothing is decided by it.
func wallTime(now Instant) time.Time { return time.Unix(0, int64(now.Wall)).UTC() }
