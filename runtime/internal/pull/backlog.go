package pull

import (
	"fmt"
	"time"
)

const (
	// idleLook is how long no new message has come when the puller asks for the backlog
	// for the first time, to see whether the consumer can deliver at all, and how often
	// it asks while the consumer cannot. While the consumer can, the pauses between the
	// questions double up to longestLook.
	idleLook    = 5 * time.Second
	longestLook = time.Minute
)

// Backlog is the number of messages of a consumer that are under way.
type Backlog struct {
	Underway int    // messages that were delivered and not acknowledged
	Max      int    // how many may be; 1: in order, 0 or less: any number
	Pending  uint64 // messages that were not delivered yet
}

// watch notices a consumer that has delivered as many messages as it may, all of which
// wait for their next delivery.
type watch struct {
	fresh   time.Time     // when a message was delivered for the first time, or none had to be
	next    time.Time     // when to ask for the backlog
	pause   time.Duration // between questions; 0: there was progress since the last one
	looking bool          // a question is under way
	stalled error         // what was reported; nil: the consumer can deliver
}

// progress notes that a new message has come, or that none had to.
func (w *watch) progress(now time.Time) { w.fresh, w.pause = now, 0 }

// watchBacklog asks for the backlog if it is time. p.mu is held.
func (p *Puller) watchBacklog(now time.Time) {
	w := &p.watch
	if p.o.Backlog == nil || w.looking {
		return
	}
	if w.stalled == nil && (!p.open || p.request.outstanding == 0) {
		w.progress(now) // there is no room, so that no message has to come
		return
	}
	if w.pause == 0 {
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
	w := &p.watch
	w.looking = false
	now := time.Now()
	if err != nil {
		w.next = now.Add(w.pause)
		p.mu.Unlock()
		return
	}
	stalls := b.Max > 1 && b.Underway >= b.Max && b.Underway > p.held.count && b.Pending > 0
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
