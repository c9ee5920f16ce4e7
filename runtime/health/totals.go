package health

import "time"

// Totals are counts since the start, which only grow: what $SRV.STATS and
// Prometheus ask for.
type Totals struct {
	// Requests is how many ended, well or not.
	Requests uint64
	// Errors is how many of them failed, by code; nil if none did.
	Errors map[Code]uint64
	// Refused is how many were refused beside those, by reason ([Refusal]); nil
	// if none was.
	Refused map[string]uint64
	// Busy is the sum of the latencies.
	Busy time.Duration
}

// Totals returns what the method has counted since the start.
func (m *Method) Totals() Totals {
	var t totals
	m.window.total(&t)
	return t.public()
}

// Totals returns what all methods have counted since the start.
func (r *Recorder) Totals() Totals {
	var t totals
	for _, m := range r.all() {
		m.window.total(&t)
	}
	return t.public()
}

// Methods returns the methods by name, whether they were called or not.
func (r *Recorder) Methods() []*Method { return r.all() }

// InFlight returns how many requests of the method run now.
func (m *Method) InFlight() int64 { return max(m.inFlight.Load(), 0) }

func (t *totals) public() Totals {
	return Totals{Requests: t.requests(), Errors: t.errors(), Refused: t.refusals(), Busy: t.sum}
}

// Distribution returns how many requests since the start took at most as long as
// each of bounds, which ascend. A request counts as having taken what percentiles
// would say, see [Latency].
func (m *Method) Distribution(bounds []time.Duration) []uint64 {
	counts := make([]uint64, len(bounds))
	var sum uint64
	next := 0
	for i, n := range m.window.allLatencies() {
		for next < len(bounds) && middle(i) > bounds[next] {
			counts[next] = sum
			next++
		}
		sum += n
	}
	for ; next < len(bounds); next++ {
		counts[next] = sum
	}
	return counts
}

// MeanSince returns the mean latency of the requests that ended after previous
// was taken, and 0 if there were none. Between two heartbeats, this is the
// latency for others to select by: that of the window is slow to change.
func (t Totals) MeanSince(previous Totals) time.Duration {
	if t.Requests <= previous.Requests || t.Busy <= previous.Busy {
		return 0
	}
	return (t.Busy - previous.Busy) / time.Duration(t.Requests-previous.Requests)
}
