// Package quiet tells the log once of something that happens again and again.
package quiet

import (
	"sync"
	"time"
)

// Interval is the time between two lines about the same.
const Interval = time.Minute

// Interruptions tells of something that is interrupted, maybe many times a second,
// without a line for each time. The first interruption is told at once, further
// ones at most once a minute, with their number and duration. One that lasts longer
// than others is told while it lasts, once a minute, and at its end. It is safe for
// concurrent use; its exported fields do not change after the first one.
type Interruptions struct {
	// Least is how long an interruption lasts that is told before its end.
	Least time.Duration
	// Lasts tells of an interruption that has not ended, and Over of those that have.
	Lasts func(since time.Duration)
	Over  func(t Times)

	mu        sync.Mutex
	began     time.Time // of the present interruption; zero: there is none
	announced bool      // that it lasts was told
	times     Times
	told      time.Time
	timer     *time.Timer // nil before the first interruption
	stopped   bool
}

// Times are the interruptions that have ended since the last line.
type Times struct {
	Count          int
	Total, Longest time.Duration
}

// Attrs are those of a line in the log.
func (t *Times) Attrs() []any {
	return []any{"times", t.Count, "for", t.Total.Round(time.Millisecond), "longest", t.Longest.Round(time.Millisecond)}
}

// Begin begins an interruption, unless there is one.
func (i *Interruptions) Begin(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped || !i.began.IsZero() {
		return
	}
	i.began, i.announced = now, false
	i.look(now)
}

// End ends it.
func (i *Interruptions) End(now time.Time) {
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
func (i *Interruptions) look(now time.Time) {
	next := i.told.Add(Interval)
	switch lasts := !i.began.IsZero(); {
	case i.stopped || !lasts && i.times.Count == 0:
		return
	case lasts:
		if ripe := i.began.Add(i.Least); ripe.After(next) {
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
	i.Lasts(now.Sub(i.began))
	i.lookAfter(Interval)
}

// tell tells of those that are over. i.mu is held.
func (i *Interruptions) tell(now time.Time) {
	times := i.times
	i.times, i.told = Times{}, now
	i.Over(times)
}

func (i *Interruptions) lookAfter(d time.Duration) {
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

// Stop ends all of it.
func (i *Interruptions) Stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	if i.timer != nil {
		i.timer.Stop()
	}
}
