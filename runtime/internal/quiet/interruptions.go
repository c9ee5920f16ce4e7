// Package quiet keeps the log quiet: of an event that happens again and again it writes
// one line a minute.
package quiet

import (
	"sync"
	"time"
)

// Interval is the time between two lines about the same.
const Interval = time.Minute

// Interruptions writes to the log about a service that is interrupted, maybe many times
// a second, without a line for each interruption. The first interruption is told at once,
// further ones at most once a minute, with their number and duration. A long one is told
// while it lasts, once a minute, and at its end. The exported fields are set before the
// first interruption, and do not change after that. It is safe for concurrent use.
type Interruptions struct {
	// Least is how long an interruption has to last to be told before its end.
	Least time.Duration
	// Lasts tells of an interruption that has not ended, and Over of all that have ended
	// since the last line. Both are called with the lock held.
	Lasts func(since time.Duration)
	Over  func(t Times)

	mu        sync.Mutex  // guards the fields below
	began     time.Time   // of the present interruption; zero: there is none
	announced bool        // Lasts was called for the present interruption
	times     Times       // since the last line
	told      time.Time   // when the last line was written
	timer     *time.Timer // nil before the first interruption
	stopped   bool
}

// Times counts the interruptions that have ended since the last line.
type Times struct {
	Count          int
	Total, Longest time.Duration
}

// Attrs returns the attributes of a line in the log.
func (t *Times) Attrs() []any {
	return []any{"times", t.Count, "for", t.Total.Round(time.Millisecond), "longest", t.Longest.Round(time.Millisecond)}
}

// Begin begins an interruption, unless one has begun already.
func (i *Interruptions) Begin(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped || !i.began.IsZero() {
		return
	}
	i.began, i.announced = now, false
	i.look(now)
}

// End ends the interruption, if there is one.
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

// look writes the line that is due now, and sets the timer for the next one. i.mu is
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

// tell writes a line about the interruptions that are over. i.mu is held.
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

// Stop has no more lines written.
func (i *Interruptions) Stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
	if i.timer != nil {
		i.timer.Stop()
	}
}
