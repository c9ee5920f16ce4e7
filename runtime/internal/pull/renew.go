package pull

import "time"

// renewal returns how often held messages are looked at: often enough that a message of
// a consumer with this ack wait is renewed in time even if some of the looks are late. Each
// look wakes the process, so that there are no more of them than that takes.
func renewal(ackWait time.Duration) time.Duration {
	if ackWait == 0 {
		return tick
	}
	return max(min(tick, ackWait/4), min(longestTick, ackWait/8), time.Millisecond)
}

// run is the goroutine that renews held messages. It never waits for an answer.
func (p *Puller) run(returns uint64) {
	defer close(p.ended)
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		state := p.o.Link.State()
		now := time.Now()
		if state.Returns == returns {
			select {
			case <-p.ctx.Done():
				return
			case <-state.Changed():
				continue
			case now = <-timer.C:
			}
		}
		anew := state.Returns != returns
		returns = state.Returns
		timer.Reset(p.tick(now, anew))
	}
}

// tick renews messages that were held for long, checks that requests are still
// answered, and returns after which time to do so again. Anew says that the connection has come back
// since the last tick.
func (p *Puller) tick(now time.Time, anew bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if anew && p.unacked { // NATS denies acknowledgements again if they are still not allowed
		p.unacked = false
		p.later(func() { p.report(acking, nil) })
	}
	interval := renewal(p.source.AckWait)
	p.renew(now, interval, anew)
	switch {
	case !p.open:
		if anew {
			p.hurry()
		}
	case !p.doubtAt.IsZero() && now.After(p.doubtAt):
		p.doubtAt, p.refusals.doubted = time.Time{}, true
		p.look(0)
	case anew:
		// NATS has forgotten the requests.
		p.request.outstanding, p.request.seen = 0, now
		p.ask()
	case p.request.outstanding > 0 && now.Sub(p.request.seen) > silence && p.o.Link.Up():
		p.request.seen = now
		p.unheard()
	default:
		p.ask() // again, if the last request could not be sent
	}
	p.watchBacklog(now)
	return p.nextTick(now, interval)
}

// nextTick returns the time until the next tick: an interval or less. All pullers of a
// process tick at the same moments, so that they wake it once and not each by itself; what
// has a time of its own comes at that time. p.mu is held.
func (p *Puller) nextTick(now time.Time, interval time.Duration) time.Duration {
	wait := interval - time.Duration(now.UnixNano())%interval
	sooner := func(at time.Time) {
		if d := at.Sub(now); d > 0 {
			wait = min(wait, d+time.Millisecond) // the tick has to come after it
		}
	}
	if p.open && !p.doubtAt.IsZero() {
		sooner(p.doubtAt)
	}
	if p.open && p.request.outstanding > 0 {
		sooner(p.request.seen.Add(silence))
	}
	return wait
}

// renew tells NATS that held messages are still being worked on. Giving back messages
// whose handlers have not begun would be easier on other instances, but counts as a
// delivery. After a reconnect all messages are renewed, as signs of life that were sent
// before may be lost. p.mu is held.
func (p *Puller) renew(now time.Time, interval time.Duration, all bool) {
	if p.source.AckWait == 0 {
		return
	}
	for m := p.held.head; m != nil; m = m.next {
		if !all && now.Sub(m.renewed)+interval < p.source.AckWait/3 {
			continue // the next look is early enough
		}
		if p.o.NATS.Publish(m.reply, inProgress) != nil {
			return // the sign of the next look may get through
		}
		m.renewed = now
	}
}
