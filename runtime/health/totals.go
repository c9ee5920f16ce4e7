package health

import "time"

// Totals are counts since the start, which only grow: what $SRV.STATS and
// Prometheus ask for.
type Totals struct {
	// Requests is how many ended, well or not.
	Requests uint64
	// Errors is how many of them failed, by code; nil if none did.
	Errors map[Code]uint64
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
	return Totals{Requests: t.requests(), Errors: t.errors(), Busy: t.sum}
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
