package figures

import (
	"math"
	"time"
)

// Reading is the figures of an instance at one time; NaN for what is not known.
type Reading struct {
	PerSecond, ErrorPercent, P50Ms, P90Ms, P99Ms float64
}

// Unknown is the reading of which nothing is known.
func Unknown() Reading {
	nan := math.NaN()
	return Reading{nan, nan, nan, nan, nan}
}

// Light is the history of an hour of one instance, in the steps of a [Series]. There are
// thousands of instances, so that it has figures in place of latencies: 9 kB. The zero Light
// is empty.
type Light struct {
	slots []lightSlot // a ring, by the number of the step
	step  int64       // the latest
	rates int         // how many rates that one has
}

type lightSlot struct {
	step                                   int32
	perSecond, errorPercent, p50, p90, p99 float32
}

// Add adds a reading. Of a step it keeps the mean of the rates, and the last other figures:
// these are of a minute anyway.
func (l *Light) Add(now time.Time, r Reading) {
	step := StepOf(now)
	if step < l.step || step <= 0 {
		return // the clock was set back
	}
	if l.slots == nil {
		l.slots = make([]lightSlot, Steps)
	}
	x := &l.slots[step%int64(Steps)]
	if step > l.step {
		l.step, l.rates = step, 0
		*x = lightSlot{step: int32(step), perSecond: float32(math.NaN())}
	}
	if !math.IsNaN(r.PerSecond) {
		l.rates++
		if l.rates == 1 {
			x.perSecond = 0
		}
		x.perSecond += (float32(r.PerSecond) - x.perSecond) / float32(l.rates)
	}
	x.errorPercent, x.p50, x.p90, x.p99 = float32(r.ErrorPercent), float32(r.P50Ms), float32(r.P90Ms), float32(r.P99Ms)
}

// Walk calls f with each of the last n steps that end with the one of now, the oldest first.
func (l *Light) Walk(now time.Time, n int, f func(i int, r Reading)) {
	n = min(max(n, 0), Steps)
	first := StepOf(now) - int64(n) + 1
	for i := range n {
		r := Unknown()
		step := first + int64(i)
		if l.slots != nil && step > 0 {
			if x := &l.slots[step%int64(Steps)]; int64(x.step) == step {
				r = Reading{float64(x.perSecond), float64(x.errorPercent), float64(x.p50), float64(x.p90), float64(x.p99)}
			}
		}
		f(i, r)
	}
}
