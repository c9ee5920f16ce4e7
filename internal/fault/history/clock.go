//go:build unix

package history

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock ties Go's monotonic readings, which begin anew in each process, to the
// machine's own monotonic clock, which all processes share.
var clock = newClock() //nolint:gochecknoglobals // the machine has one

type machineClock struct {
	at   time.Time
	mono int64
}

// newClock takes the closest of some pairs of readings: a process may be stopped
// between the two of a pair.
func newClock() machineClock {
	var best machineClock
	closest := time.Hour
	for range 16 {
		before := time.Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(fmt.Sprintf("this machine has no CLOCK_MONOTONIC: %v", err)) //nolint:forbidigo // it has
		}
		if took := time.Since(before); took < closest {
			closest = took
			best = machineClock{at: before.Add(took / 2), mono: ts.Nano()}
		}
	}
	return best
}

// Now reads CLOCK_MONOTONIC, in nanoseconds.
func Now() int64 { return At(time.Now()) }

// At returns the reading of the clock at the time t.
func At(t time.Time) int64 { return clock.mono + int64(t.Sub(clock.at)) }
