package figures

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/health"
)

// Latencies count requests by the steps of a [health.Spread]. They take the same memory
// whatever is counted, and are added up much faster than maps.
type Latencies [128]uint64

// Total returns how many requests are counted.
func (l *Latencies) Total() (n uint64) {
	for _, count := range l {
		n = plus(n, count)
	}
	return n
}

// Bound returns the latency up to which a step reaches. That of the last step of a spread,
// which has no end, is as wide as the one before.
func Bound(step int) time.Duration {
	bound := health.Step(step).Bound()
	if bound == health.Step(len(Latencies{})).Bound() {
		before := step
		for before > 0 && health.Step(before).Bound() == bound {
			before--
		}
		return health.Step(before).Bound() / 4 * 5
	}
	return bound
}

// Percentile returns the latency that so many of 1,000 requests do not exceed, from within
// its step; false if none is known.
func (l *Latencies) Percentile(perMille uint64) (time.Duration, bool) {
	total := l.Total()
	if total == 0 {
		return 0, false
	}
	rank := max(total/1000*perMille+(total%1000*perMille+999)/1000, 1)
	var sum uint64
	for step, count := range l {
		if count == 0 || sum+count < rank {
			sum += count
			continue
		}
		var from time.Duration
		if step > 0 {
			from = Bound(step - 1)
		}
		to := max(Bound(step), from)
		return from + time.Duration(float64(to-from)*(float64(rank-sum)-0.5)/float64(count)), true
	}
	return 0, false
}

// Ends returns the first step that has requests, and the one after the last such; both are 0
// without requests.
func (l *Latencies) Ends() (first, end int) {
	for step, n := range l {
		if n == 0 {
			continue
		}
		if end == 0 {
			first = step
		}
		end = step + 1
	}
	return first, end
}
