// Package figures makes rates, percentiles and an hour of history of the counts that
// instances give: how many requests of each method have ended since the start of the
// process, how many of them failed, and how long they took. It reads no clock, and is not
// safe for concurrent use.
//
// A rate is the difference of two counts of one process, divided by the time between them.
// Percentiles of several instances are those of their counts by latency added up: those of
// their percentiles would mean nothing.
package figures

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/health"
)

// Counts are those of a method on one instance, since the start of its process.
type Counts struct {
	Requests, Errors uint64
	InFlight         int64
	// Spread is nil if the instance does not say it: its version is older.
	Spread health.Spread
}

// credible is the greatest number of requests per second that one instance can have had. A
// higher one comes from counts that are wrong.
const credible = 1e8

// Delta is what has happened between two readings of the counts of a process.
type Delta struct {
	Over             time.Duration
	Requests, Errors uint64
	spread           []cell // nil if it is not known
}

// cell is how many requests ended in a step of latency.
type cell struct {
	step health.Step
	n    uint64
}

// PerSecond returns the rate of the requests.
func (d *Delta) PerSecond() float64 { return float64(d.Requests) / d.Over.Seconds() }

// Since returns what has happened since an earlier reading. It reports false if the counts
// are of no use: they have become less, as those of another process have, they are more than
// an instance can do, or no time is between them.
func (c Counts) Since(earlier Counts, over time.Duration) (Delta, bool) {
	if over <= 0 || c.Requests < earlier.Requests || c.Errors < earlier.Errors {
		return Delta{}, false
	}
	d := Delta{Over: over, Requests: c.Requests - earlier.Requests}
	// Both are counted one after the other, so that a request may be among the errors first.
	d.Errors = min(c.Errors-earlier.Errors, d.Requests)
	if d.PerSecond() > credible {
		return Delta{}, false
	}
	if earlier.Spread == nil && earlier.Requests > 0 {
		return d, true
	}
	spread, ok := c.spreadSince(earlier)
	d.spread = spread
	return d, ok
}

// spreadSince reports false if a count has become less.
func (c Counts) spreadSince(earlier Counts) ([]cell, bool) {
	var spread []cell
	kept := 0
	for step, n := range c.Spread {
		before, known := earlier.Spread[step]
		if known {
			kept++
		}
		if n < before {
			return nil, false
		}
		if n > before && int(step) < len(Latencies{}) {
			spread = append(spread, cell{step, n - before})
		}
	}
	return spread, c.Spread == nil || kept == len(earlier.Spread)
}

// Sum adds up what has happened at several instances, or at several times. The zero Sum is
// empty.
type Sum struct {
	Requests, Errors uint64
	// Latencies are those that are known.
	Latencies Latencies
}

// Add adds what has happened at an instance.
func (s *Sum) Add(d *Delta) {
	s.Requests = plus(s.Requests, d.Requests)
	s.Errors = plus(s.Errors, d.Errors)
	for _, c := range d.spread {
		s.Latencies[c.step] = plus(s.Latencies[c.step], c.n)
	}
}

// Merge adds another sum.
func (s *Sum) Merge(other *Sum) {
	s.Requests = plus(s.Requests, other.Requests)
	s.Errors = plus(s.Errors, other.Errors)
	for i, n := range other.Latencies {
		s.Latencies[i] = plus(s.Latencies[i], n)
	}
}

// plus adds without an overflow: what is absurd stays great.
func plus(a, b uint64) uint64 {
	const most = 1 << 53
	return min(min(a, most)+min(b, most), most)
}

// ErrorPercent returns how many of 100 requests failed; false without requests.
func (s *Sum) ErrorPercent() (float64, bool) {
	if s.Requests == 0 {
		return 0, false
	}
	return 100 * float64(s.Errors) / float64(s.Requests), true
}
