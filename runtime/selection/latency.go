package selection

import (
	"sync/atomic"
	"time"
)

const (
	// averageTime is about how far back the average reaches: one of many calls a second
	// changes it little, the newest of a few calls decides most of it.
	averageTime = 250 * time.Millisecond
	// fadeTime is the age at which an average counts for half. An instance that was slow
	// gets single calls again after a few times as long.
	fadeTime = 5 * time.Second
)

// latencyAverage is an exponentially weighted average of the latencies that this client
// process has seen. It fades with age. Of two calls that end at the same moment one may not
// count, which does no harm and saves a lock.
type latencyAverage struct {
	value atomic.Int64 // 0: none
	at    atomic.Int64
}

func (a *latencyAverage) add(now, latency time.Duration) {
	latency = max(latency, 1)
	if old := time.Duration(a.value.Load()); old != 0 {
		age := float64(max(now-time.Duration(a.at.Load()), 0))
		weight := age / (age + float64(averageTime))
		latency = max(old+time.Duration(float64(latency-old)*weight), 1)
	}
	a.value.Store(int64(latency))
	a.at.Store(int64(now))
}

// get returns the average in nanoseconds, 0 if there is none.
func (a *latencyAverage) get(now time.Duration) float64 {
	v := a.value.Load()
	if v == 0 {
		return 0
	}
	age := max(now-time.Duration(a.at.Load()), 0)
	return float64(v) * float64(fadeTime) / float64(fadeTime+age)
}
