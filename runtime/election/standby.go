package election

import (
	"fmt"
	"time"
)

// standBy does what is due for a standby: it reads the record, or claims the lease.
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
	if now.Mono >= c.claimAt() && c.operation.kind == noOperation {
		c.process.contact.want(now) // S1: it was resting
	}
}

// standbyDue returns when standBy has something to do.
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
	} // else the standby waits for contact, which comes as an event
	return due
}

// mayClaim reports whether the record may be overwritten now, and this process hears itself:
// else it could not act as the leader (S1).
func (c *Candidate) mayClaim(now Instant) bool {
	return now.Mono >= c.claimAt() && c.process.contact.within(now, standWindows*c.config.Window)
}

// claimAt returns when the record may be overwritten, as far as is known now.
func (c *Candidate) claimAt() time.Duration {
	v := &c.view
	if !v.known || v.entry.Err != nil {
		return forever // a value that cannot be decoded is never overwritten
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
		at = v.seenAt // it is a claim of this process whose acknowledgement did not come
	case c.early:
		at = min(at, c.earlyAt) // S5
	}
	return max(at, c.barred, c.retryAt, c.writeAt)
}

// createsFirst reports whether a vacant record is to be written and waited out in place of
// an absent one (S3). A key without a revision looks the same before its first write and
// after it was purged, so that a create that comes late could succeed in either case. A
// revision exists once: so a claim always goes over a revision.
func (c *Candidate) createsFirst() bool {
	e := &c.view.entry
	return e.Absent && e.Revision == 0 && c.process.mutation != createLeads && !c.absenceCounts()
}

// absenceCounts reports whether an absent record counts as a release, which is never so
// but in mutations (S3).
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
	c.view.highest = term // it is not used again, whatever the outcome of this write
	record := c.record(now, term, wallTime(now))
	kind := claiming
	if c.createsFirst() {
		kind, record.ServerID = creating, ""
	} else {
		c.view.waitOwn = false // a record of this process that is found later is this claim
	}
	over := c.view.entry.Revision
	// A standby sends few messages to itself: without this one the new leader might be
	// suspended as soon as it is elected.
	c.process.contact.refresh(now)
	number := c.beginOperation(now, kind, over, term)
	c.store.Write(number, Write{Created: c.key(), Over: over, Record: record})
}

// key returns the creation time that is part of the key.
func (c *Candidate) key() int64 {
	if c.process.mutation == keyWithoutCreation {
		return 0
	}
	return c.view.entry.Created
}

// standbyRead compares the entry that was read with the known one. An entry of a lower
// revision is an older state of the store (S7), unless the known one came by the watch
// after the read began, which knownBefore tells.
func (c *Candidate) standbyRead(now Instant, e Entry, knownBefore uint64) {
	v := &c.view
	v.readDue = now.Mono + c.config.Lease
	known := &v.entry
	switch {
	case !v.known || e.Created != known.Created || e.Revision < knownBefore:
		c.see(now, e)
		c.store.Watch(e.Created) // the old watch goes on after its last revision, and would miss this one
	case e.Revision < known.Revision || e.shows(*known):
	default:
		c.see(now, e)
	}
}

// probeInterval returns how often this candidate wants the leader's process to be probed,
// zero for never (S5 b, S6).
func (c *Candidate) probeInterval() time.Duration {
	if c.lease != nil || !c.standing || c.config.DisableEarlyTakeover {
		return 0
	}
	record := &c.view.entry.Record
	if record.ServerID != c.process.contact.epoch.id.ServerID && c.process.mutation != anyServer {
		return 0 // from another server, a route that is lost looks like a dead process
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

// onSilence begins to wait out the leader's window: its process had no subscription to its
// liveness subject when this probe arrived (S5). So the connection that wrote the record
// was closed before, and its contact ends within a window.
func (c *Candidate) onSilence(now Instant, number uint64) {
	stale := number <= c.view.probesBefore && c.process.mutation != staleNoResponders
	if c.early || stale || c.probeInterval() == 0 {
		return
	}
	c.early = true
	c.earlyAt = now.Mono + c.windowWait()
	c.next = min(c.next, c.earlyAt)
}

// wallTime returns the time that people read. Nothing is decided by it.
func wallTime(now Instant) time.Time { return time.Unix(0, int64(now.Wall)).UTC() }
