package election

import "time"

// HandOver ends the term so that another candidate follows, and reports whether it does:
// only a leader that serves can. No handler starts from now on, but the lease is kept so
// that handlers that run can reply, as after [Candidate.Resign]: the driver leaves the
// leader's subject, waits for the handlers, and calls [Candidate.HandedOver]. Other than
// after Resign the candidate goes on to stand: once the record is released it is a
// standby, which claims nothing for a lease and the margin (H2), and then stands as others
// do.
func (c *Candidate) HandOver(now Instant, term Term) bool {
	c.process.observe(now)
	if c.lease == nil || c.lease.term != term || c.tenure.phase != phaseServing || c.resigning {
		return false
	}
	c.tenure.yields = true
	c.drain(now)
	c.step(now)
	return true
}

// HandedOver tells, after [Candidate.HandOver], that no handler of the term runs any more:
// the record is released (H1). It does nothing if the term has ended otherwise.
func (c *Candidate) HandedOver(now Instant, term Term) {
	c.process.observe(now)
	if c.lease == nil || c.lease.term != term || !c.tenure.yields || c.tenure.phase != phaseDraining {
		return
	}
	c.barred = now.Mono + c.leaseWait()
	c.release(now, ErrHandedOver)
	c.step(now)
}

// HoldBack has a standby claim nothing for a lease and the margin, because the leader of
// this term hands over to another candidate (H3). It only makes the standby wait longer
// than it would, so that whoever can send it does no harm but delay. A leader, and a
// candidate that has seen a greater term, ignore it.
func (c *Candidate) HoldBack(now Instant, term Term) {
	c.process.observe(now)
	if c.lease == nil && c.view.highest <= term {
		c.barred = max(c.barred, now.Mono+c.leaseWait())
	}
	c.step(now)
}

// MayFollow reports whether the candidate would claim a released record now: it stands,
// is not held back, knows the record and hears itself, as far as it has asked.
func (c *Candidate) MayFollow(now Instant) bool {
	c.process.observe(now)
	return c.lease == nil && c.standing && now.Mono >= c.barred && c.view.known && c.view.entry.Err == nil &&
		c.process.contact.connected() && c.process.contact.within(now, c.config.restPace()+standWindows*c.config.Window)
}

// Patience returns the candidate's own lease with the margin: how long the others wait for
// a leader that is lost. It is safe for concurrent use.
func (c *Candidate) Patience() time.Duration { return widen(c.config.Lease) }
