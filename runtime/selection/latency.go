package selection

import (
	"sync/atomic"
	"time"
)

const (
	// averageTime is how far back the average reaches, more or less: of many
	// calls a second, none says much by itself; of few, the newest says most.
	averageTime = 250 * time.Millisecond
	// fadeTime is the age at which an average counts for half. An instance
	// that was slow is tried again after some of these, with single calls.
	fadeTime = 5 * time.Second
)

// latencyAverage is an exponentially weighted average of the latencies that
// this process saw, fading with age. Two calls that end at the same moment may
// lose one of their values, which does no harm and costs no retry.
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
