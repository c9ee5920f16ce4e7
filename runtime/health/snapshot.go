package health

import (
	"math"
	"time"
)

// Stats are the figures of one method, or of all methods of an instance, over the window.
// Their JSON takes about 250 bytes, and has durations in nanoseconds.
type Stats struct {
	// Requests is the number of requests that have ended, well or not.
	Requests uint64 `json:"requests"`
	// Errors is the number of those that failed, by code; nil if none did.
	Errors map[Code]uint64 `json:"errors,omitempty"`
	// Refused is the number of requests that were refused, beside those, by reason
	// ([Refusal]); nil if none was.
	Refused map[string]uint64 `json:"refused,omitempty"`
	// InFlight is the number of requests that run now.
	InFlight int64 `json:"in_flight"`
	// PerMinute is the rate at which requests have ended. In the first second after the
	// start it is the rate over a whole second.
	PerMinute float64 `json:"per_minute"`
	// Latency is nil if no request has ended. That of all methods together leaves out the
	// methods that are not rated by it, see [Method.Unrate].
	Latency *Latency `json:"latency,omitempty"`

	unrated bool // the latency is that of a method that is not rated by it
}

// Latency describes a distribution of latencies. Min, Max and Mean are exact;
// the percentiles are off by at most 1.6 % from 1 µs to 18 min, by at most 16 ns
// below, and are never outside of Min and Max.
type Latency struct {
	Min  time.Duration `json:"min"`
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	Max  time.Duration `json:"max"`
	Mean time.Duration `json:"mean"`
}

// Snapshot has the figures of an instance at one moment. For a heartbeat, which need not
// carry the figures of the methods, set Methods to nil.
type Snapshot struct {
	Stats
	// Methods are the figures of the methods that were called in the window, run now, or have
	// refused requests.
	Methods map[string]Stats `json:"methods,omitempty"`
}

// Failed returns how many requests failed.
func (s Stats) Failed() (n uint64) {
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// ErrorPercent returns how many of 100 requests failed; 0 without requests.
func (s Stats) ErrorPercent() float64 {
	if s.Requests == 0 {
		return 0
	}
	// Multiplied first, so that whole percentages come out exact.
	return 100 * float64(s.Failed()) / float64(s.Requests)
}

// Mean returns the mean latency; 0 without requests.
func (s Stats) Mean() time.Duration {
	if s.Latency == nil {
		return 0
	}
	return s.Latency.Mean
}

// rating returns the mean latency by which an instance is judged.
func (s Stats) rating() time.Duration {
	if s.unrated {
		return 0
	}
	return s.Mean()
}

// Stats returns the figures of all methods together at now. It takes about a
// microsecond for each span of each method that was called.
func (r *Recorder) Stats(now time.Time) Stats { return statsOf(r.all(), now, false) }

// Stats returns the figures of the method at now.
func (m *Method) Stats(now time.Time) Stats {
	s := statsOf([]*Method{m}, now, true)
	s.unrated = m.unrated.Load()
	return s
}

// statsOf adds the figures of methods up. Latencies of methods that are not rated by them
// are left out unless they are asked for.
func statsOf(methods []*Method, now time.Time, allLatencies bool) Stats {
	t, untimed := newTally(), newTally()
	var inFlight int64
	covered := time.Second
	for _, m := range methods {
		at := max(now.Sub(m.start), 0)
		into := t
		if m.unrated.Load() && !allLatencies {
			into = untimed
		}
		m.window.sumUp(at, into)
		inFlight += m.InFlight()
		covered = m.window.covered(at)
	}
	latency := t.latency()
	t.merge(&untimed.totals)
	s := t.stats(inFlight, covered)
	s.Latency = latency
	return s
}

// Snapshot returns the figures at now, with those of each method.
func (r *Recorder) Snapshot(now time.Time) Snapshot {
	snapshot := Snapshot{Stats: r.Stats(now)}
	for _, m := range r.all() {
		stats := m.Stats(now)
		if stats.Requests == 0 && stats.InFlight == 0 && stats.Refused == nil {
			continue
		}
		if snapshot.Methods == nil {
			snapshot.Methods = map[string]Stats{}
		}
		snapshot.Methods[m.name] = stats
	}
	return snapshot
}

// covered returns how far back the window reaches.
func (w *window) covered(at time.Duration) time.Duration {
	elapsed := at % w.width // of the present part
	return max(min(at, elapsed+time.Duration(len(w.spans)-1)*w.width), time.Second)
}

func (t *tally) stats(inFlight int64, covered time.Duration) Stats {
	s := Stats{InFlight: inFlight, Requests: t.requests(), Errors: t.errors(), Refused: t.refusals()}
	s.PerMinute = math.Round(float64(s.Requests)/covered.Minutes()*10) / 10
	return s
}

// latency returns the distribution of the latencies; nil without requests.
func (t *tally) latency() *Latency {
	requests := t.requests()
	if requests == 0 {
		return nil
	}
	// A request that ends meanwhile may be counted by code and not yet in the histogram, or
	// the other way round.
	var recorded uint64
	for _, n := range t.histogram {
		recorded += n
	}
	low, high := min(t.min, t.max), t.max
	p := t.histogram.percentiles(recorded, 500, 900, 990)
	for i := range p {
		p[i] = min(max(p[i], low), high)
	}
	return &Latency{
		Min: low, P50: p[0], P90: p[1], P99: p[2], Max: high,
		Mean: min(max(t.sum/time.Duration(requests), low), high),
	}
}

func (t *totals) requests() (n uint64) {
	for _, count := range t.codes {
		n += count
	}
	return n
}

func (t *totals) errors() map[Code]uint64 {
	var failed map[Code]uint64
	for i, n := range t.codes {
		if code := Code(i); code != codeOK && n > 0 {
			if failed == nil {
				failed = map[Code]uint64{}
			}
			failed[code] = n
		}
	}
	return failed
}

func (t *totals) refusals() map[string]uint64 {
	var refused map[string]uint64
	for i, n := range t.refused {
		if n > 0 {
			if refused == nil {
				refused = map[string]uint64{}
			}
			refused[Refusal(i).String()] = n
		}
	}
	return refused
}
