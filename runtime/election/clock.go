package election

import (
	"math"
	"time"
)

// never is before every reading of a monotonic clock, and forever after it.
// Both leave room to add durations to them.
const (
	never   = time.Duration(math.MinInt64 / 4)
	forever = time.Duration(math.MaxInt64 / 4)
)

// Instant is one reading of both clocks of a process.
type Instant struct {
	// Mono is the monotonic clock, from any fixed point on. All times that safety depends
	// on are measured by it.
	Mono time.Duration
	// Wall is the wall clock, since the Unix epoch. It lifts terms, and it
	// shows that the machine was suspended (L8).
	Wall time.Duration
}

// skew returns how far the wall clock is ahead of the monotonic one. It changes only when
// one of the clocks was stepped or stood still.
func (i Instant) skew() time.Duration { return i.Wall - i.Mono }

// Clock reads the machine's clocks. Make one per process with [NewClock]:
// readings of two of them cannot be compared. It is safe for concurrent use.
type Clock struct{ start time.Time }

// NewClock returns a clock whose monotonic reading starts at zero now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now reads the clocks.
func (c Clock) Now() Instant {
	now := time.Now()
	return Instant{Mono: now.Sub(c.start), Wall: time.Duration(now.UnixNano())}
}

// At is the reading that Now would have given when time.Now returned t.
func (c Clock) At(t time.Time) Instant {
	return Instant{Mono: t.Sub(c.start), Wall: time.Duration(t.UnixNano())}
}
