package aegis

import (
	"sync"
	"time"
)

// interruptionsInterval is the time between two lines about the same.
const interruptionsInterval = time.Minute

// interruptions tells of something that is interrupted, maybe many times a second,
// without a line for each time. The first interruption is told at once, further
// ones at most once a minute, with their number and duration. One that lasts longer
// than others is told while it lasts, once a minute, and at its end.
type interruptions struct {
	// least is how long an interruption lasts that is told before its end.
	least time.Duration
	// lasts tells of an interruption that has not ended, and over of those that have.
	lasts func(since time.Duration)
	over  func(t interruptionTimes)

	mu        sync.Mutex
	began     time.Time // of the present interruption; zero: there is none
	announced bool      // that it lasts was told
	times     interruptionTimes
	told      time.Time
	timer     *time.Timer // nil before the first interruption
	stopped   bool
}

// interruptionTimes are the interruptions that have ended since the last line.
type interruptionTimes struct {
	Count          int
	Total, Longest time.Duration
}

// attrs are those of a line in the log.
func (t *interruptionTimes) attrs() []any {
	return []any{"times", t.Count, "for", t.Total.Round(time.Millisecond), "longest", t.Longest.Round(time.Millisecond)}
}

// begin begins an interruption, unless there is one.
func (i *interruptions) begin(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped || !i.began.IsZero() {
		return
	}
	i.began, i.announced = now, false
	i.look(now)
}

// end ends it.
func (i *interruptions) end(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.began.IsZero() {
		return
	}
	took := now.Sub(i.began)
	i.began = time.Time{}
	i.times.Count++
	i.times.Total += took
	i.times.Longest = max(i.times.Longest, took)
	if i.announced {
		i.tell(now)
		return
	}
	i.look(now)
}

// look tells what is to be told now, and comes back when there is more. i.mu is
// held.
func (i *interruptions) look(now time.Time) {
	next := i.told.Add(interruptionsInterval)
	switch lasts := !i.began.IsZero(); {
	case i.stopped || !lasts && i.times.Count == 0:
		return
	case lasts:
		if ripe := i.began.Add(i.least); ripe.After(next) {
			next = ripe
		}
	}
	if now.Before(next) {
		i.lookAfter(next.Sub(now))
		return
	}
	if i.began.IsZero() {
		i.tell(now)
		return
	}
	i.announced, i.told = true, now
	i.lasts(now.Sub(i.began))
	i.lookAfter(interruptionsInterval)
}

// tell tells of those that are over. i.mu is held.
func (i *interruptions) tell(now time.Time) {
	times := i.times
	i.times, i.told = interruptionTimes{}, now
	i.over(times)
}

func (i *interruptions) lookAfter(d time.Duration) {
	if i.timer != nil {
		i.timer.Reset(d)
		return
	}
	i.timer = time.AfterFunc(d, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.look(time.Now())
	})
}

// stop ends all of it.
func (i *interruptions) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	if i.timer != nil {
		i.timer.Stop()
	}
}
