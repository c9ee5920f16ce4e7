package load

import (
	"context"
	"time"
)

// Clock is where a run takes its time from.
type Clock interface {
	// Now returns the time since an instant that does not change.
	Now() time.Duration
	// SleepUntil returns true at the time t, at once if that is past, or false when ctx
	// ends before it.
	SleepUntil(ctx context.Context, t time.Duration) bool
}

// Wall returns the clock of this machine.
func Wall() Clock { return wall{time.Now()} }

type wall struct{ origin time.Time }

func (w wall) Now() time.Duration { return time.Since(w.origin) }

// SleepUntil sleeps on a timer, whose wake-up can be a millisecond late, only until just
// before the time, and the rest in a way that is exact where the system has one.
func (w wall) SleepUntil(ctx context.Context, t time.Duration) bool {
	if rest := t - w.Now(); rest > timerSlack {
		timer := time.NewTimer(rest - timerSlack)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for {
		rest := t - w.Now()
		if rest <= 0 {
			return true
		}
		sleepExactly(rest)
	}
}
