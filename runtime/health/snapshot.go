package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Stats are the figures of one method, or of all of an instance, over the
// window. As JSON they take about 250 bytes, and durations are nanoseconds.
type Stats struct {
	// Requests is how many ended, well or not.
	Requests uint64 `json:"requests"`
	// Errors is how many of them failed, by code; nil if none did.
	Errors map[Code]uint64 `json:"errors,omitempty"`
	// InFlight is how many run now.
	InFlight int64 `json:"in_flight"`
	// PerMinute is the rate at which requests ended. In the first second after
	// the start it is that of one whole second.
	PerMinute float64 `json:"per_minute"`
	// Latency is nil if no request ended.
	Latency *Latency `json:"latency,omitempty"`
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

// Snapshot is the figures of an instance at one moment. A heartbeat need not
// carry those of the methods: set Methods to nil.
type Snapshot struct {
	Stats
	// Methods are the figures of the methods that were called in the window or
	// run now.
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

// Snapshot returns the figures at now. It takes about a microsecond for each
// span of each method that was called.
func (r *Recorder) Snapshot(now time.Time) Snapshot {
	at := max(now.Sub(r.start), 0)
	covered := r.covered(at)
	var snapshot Snapshot
	whole, own := newTally(), newTally()
	for _, m := range r.all() {
		own.reset()
		m.window.sumUp(at, own)
		inFlight := m.InFlight()
		snapshot.InFlight += inFlight
		whole.merge(own)
		stats := own.stats(inFlight, covered)
		if stats.Requests == 0 && inFlight == 0 {
			continue
		}
		if snapshot.Methods == nil {
			snapshot.Methods = map[string]Stats{}
		}
		snapshot.Methods[m.name] = stats
	}
	snapshot.Stats = whole.stats(snapshot.InFlight, covered)
	return snapshot
}

// covered returns how far back the window reaches.
func (r *Recorder) covered(at time.Duration) time.Duration {
	width := r.window / time.Duration(r.spans)
	elapsed := at % width // of the part that is now
	return max(min(at, elapsed+r.window-width), time.Second)
}

func (t *tally) merge(other *tally) {
	for i, n := range other.codes {
		t.codes[i] += n
	}
	t.sum += other.sum
	t.min, t.max = min(t.min, other.min), max(t.max, other.max)
	for i, n := range other.histogram {
		t.histogram[i] += n
	}
}

func (t *tally) stats(inFlight int64, covered time.Duration) Stats {
	s := Stats{InFlight: inFlight, Requests: t.requests(), Errors: t.errors()}
	s.PerMinute = math.Round(float64(s.Requests)/covered.Minutes()*10) / 10
	if s.Requests == 0 {
		return s
	}
	// Requests that end meanwhile may have been counted by code and not yet in
	// the histogram, or the other way round.
	var recorded uint64
	for _, n := range t.histogram {
		recorded += n
	}
	low, high := min(t.min, t.max), t.max
	p := t.histogram.percentiles(recorded, 500, 900, 990)
	for i := range p {
		p[i] = min(max(p[i], low), high)
	}
	s.Latency = &Latency{
		Min: low, P50: p[0], P90: p[1], P99: p[2], Max: high,
		Mean: min(max(t.sum/time.Duration(s.Requests), low), high),
	}
	return s
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

// ErrReport is wrapped by what [DecodeReport] returns.
var ErrReport = errors.New("health: not a report")

// DecodeReport reads a [Report] from the JSON of somebody else's. Fields that are
// not known are skipped, as a newer version may have written them; figures that
// cannot be are an error that wraps [ErrReport].
func DecodeReport(data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrReport, err)
	}
	if err := r.check(); err != nil {
		return Report{}, err
	}
	for name, stats := range r.Methods {
		if err := stats.check(); err != nil {
			return Report{}, fmt.Errorf("%w (method %q)", err, name)
		}
	}
	return r, nil
}

func (r *Report) check() error {
	if r.Score < 0 || r.Score > 100 {
		return fmt.Errorf("%w: a score of %v", ErrReport, r.Score)
	}
	return r.Stats.check()
}

func (s Stats) check() error {
	l := s.Latency
	switch {
	case s.InFlight < 0 || s.PerMinute < 0:
		return fmt.Errorf("%w: a negative count", ErrReport)
	case l != nil && (l.Min < 0 || l.P50 < l.Min || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 || l.Mean < l.Min || l.Mean > l.Max):
		return fmt.Errorf("%w: latencies in no order", ErrReport)
	}
	return nil
}
