package pull

import (
	"fmt"
	"time"
)

const (
	// idleLook is how long nothing new has come when it is looked at for the first
	// time whether the consumer still can deliver something, and how often if it
	// could not; longestLook is how seldom that becomes.
	idleLook    = 5 * time.Second
	longestLook = time.Minute
)

// Backlog is how much of a consumer is under way.
type Backlog struct {
	Underway int    // delivered, and not acknowledged
	Max      int    // the most that may be; 1: in order, 0 or less: any
	Pending  uint64 // not delivered yet
}

// watch looks for a consumer that has delivered as much as it may, and all of that
// waits for being delivered again.
type watch struct {
	fresh   time.Time // when something came for the first time, or nothing had to
	next    time.Time // when to look
	pause   time.Duration
	looking bool
	stalled error
}

// progress: something new has come.
func (w *watch) progress(now time.Time) { w.fresh, w.pause = now, 0 }

// watchBacklog looks, if it is time. p.mu is held.
func (p *Puller) watchBacklog(now time.Time) {
	w := &p.alarm.watch
	if p.o.Backlog == nil || w.looking {
		return
	}
	if w.stalled == nil && (!p.open || p.asking.outstanding == 0) {
		w.progress(now) // there is no room, so nothing has to come
		return
	}
	if w.pause == 0 { // something has changed
		w.pause, w.next = idleLook, w.fresh.Add(idleLook)
	}
	if now.Before(w.next) || !p.open {
		return
	}
	w.looking = true
	p.later(p.lookAtBacklog)
}

func (p *Puller) lookAtBacklog() {
	b, err := p.o.Backlog(p.ctx)
	p.mu.Lock()
	w := &p.alarm.watch
	w.looking = false
	now := time.Now()
	if err != nil {
		w.next = now.Add(w.pause) // nobody knows
		p.mu.Unlock()
		return
	}
	stalls := b.Max > 1 && b.Underway >= b.Max && b.Underway > p.kept.count && b.Pending > 0
	before := w.stalled
	switch {
	case !stalls:
		w.stalled, w.pause = nil, min(max(2*w.pause, idleLook), longestLook)
	default:
		w.pause = idleLook
		if before == nil { // the text stays as it is while the stall lasts
			w.stalled = fmt.Errorf("%s has %d messages under way or waiting for their next attempt, which is all that its max_ack_pending allows; "+
				"%d more are not delivered until some of these have ended: mend what makes them fail, or raise max_ack_pending of the consumer",
				p.source.Name, b.Underway, b.Pending)
		}
	}
	w.next = now.Add(w.pause)
	told := w.stalled
	p.mu.Unlock()
	if before != nil || told != nil {
		p.report(stalling, told)
	}
}
