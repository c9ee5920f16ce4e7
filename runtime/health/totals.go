package health

import "time"

// Totals are counts since the start, which only grow, as $SRV.STATS and Prometheus have
// them.
type Totals struct {
	// Requests is the number of requests that have ended, well or not.
	Requests uint64
	// Errors is the number of those that failed, by code; nil if none did.
	Errors map[Code]uint64
	// Refused is the number of requests that were refused, beside those, by reason
	// ([Refusal]); nil if none was.
	Refused map[string]uint64
	// Busy is the sum of the latencies.
	Busy time.Duration
}

// Totals returns the counts of the method since the start.
func (m *Method) Totals() Totals {
	var t totals
	m.window.total(&t)
	return t.public()
}

// Totals returns the counts of all methods since the start.
func (r *Recorder) Totals() Totals {
	var t totals
	for _, m := range r.all() {
		m.window.total(&t)
	}
	return t.public()
}

// Rated returns the counts since the start of the methods whose latency counts, see
// [Method.Unrate].
func (r *Recorder) Rated() Totals {
	var t totals
	for _, m := range r.all() {
		if !m.unrated.Load() {
			m.window.total(&t)
		}
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

// Distribution returns how many requests since the start took at most as long as each of
// bounds, which must ascend. The time of a request is as exact as percentiles are, see
// [Latency].
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

// MeanSince returns the mean latency of the requests that have ended after previous was
// taken, and 0 if there were none. Clients select instances by that of the time between
// two heartbeats, as the mean of the window is slow to change.
func (t Totals) MeanSince(previous Totals) time.Duration {
	if t.Requests <= previous.Requests || t.Busy <= previous.Busy {
		return 0
	}
	return (t.Busy - previous.Busy) / time.Duration(t.Requests-previous.Requests)
}
