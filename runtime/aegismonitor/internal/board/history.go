package board

import (
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

// History returns the figures of a service, of one of its methods or of one of its instances
// since a time, at most an hour; at most one of method and instance is not "". It reports
// false if nothing is known of it.
func (b *Board) History(now, since time.Time, service, method, instance string) (*monitorapi.History, bool) {
	b.mu.Lock()
	defer b.unlock()
	s := b.services[service]
	if s == nil || method != "" && instance != "" {
		return nil, false
	}
	h := newHistory(now, since)
	h.Service, h.Method, h.Instance = service, method, instance
	if instance != "" {
		light := s.light(instance)
		if light == nil {
			return nil, false
		}
		light.Walk(now, len(h.PerSecond), func(i int, r figures.Reading) {
			h.PerSecond[i], h.ErrorPercent[i] = known(r.PerSecond), known(r.ErrorPercent)
			h.P50Ms[i], h.P90Ms[i], h.P99Ms[i] = known(r.P50Ms), known(r.P90Ms), known(r.P99Ms)
		})
		return h, true
	}
	m := &s.meters.total
	if method != "" {
		m = s.meters.methods[method]
	}
	if m == nil {
		return nil, false
	}
	fill(h, now, &m.series)
	return h, true
}

// newHistory returns a history whose steps begin with the one of a time, and end with the one
// of now.
func newHistory(now, since time.Time) *monitorapi.History {
	last := figures.StepOf(now)
	first := last - int64(figures.Steps) + 1
	if since.After(now.Add(-hour)) {
		first = max(first, min(figures.StepOf(since), last))
	}
	n := int(last - first + 1)
	seconds := int64(figures.Step / time.Second)
	return &monitorapi.History{
		From: first * seconds, Step: seconds,
		PerSecond: make([]*float64, n), ErrorPercent: make([]*float64, n),
		P50Ms: make([]*float64, n), P90Ms: make([]*float64, n), P99Ms: make([]*float64, n),
		HeatBoundsMs: []float64{}, Heat: [][]uint64{},
	}
}

// light returns the history of an instance that is there, or was within the hour; nil if
// there is none.
func (s *service) light(name string) *figures.Light {
	for _, subscriber := range []bool{false, true} {
		key := instanceKey{name, subscriber}
		if i := s.fleet.present[key]; i != nil {
			return i.hour
		}
		if p := s.fleet.past[key]; p != nil {
			return p.instance.hour
		}
	}
	return nil
}

// fill fills a history from a series. Its heat map has the steps of latency from the least to
// the greatest that any step of it has.
func fill(h *monitorapi.History, now time.Time, series *figures.Series) {
	n := len(h.PerSecond)
	var all figures.Latencies
	series.Walk(now, n, func(i int, p *figures.Point) {
		if !p.Known {
			return
		}
		h.PerSecond[i] = known(p.PerSecond)
		if percent, ok := p.ErrorPercent(); ok {
			h.ErrorPercent[i] = known(percent)
		}
		h.P50Ms[i], h.P90Ms[i], h.P99Ms[i] = percentiles(&p.Latencies)
		for step, count := range p.Latencies {
			all[step] |= count
		}
	})
	low, high := all.Ends()
	for step := low; step < high; step++ {
		h.HeatBoundsMs = append(h.HeatBoundsMs, milliseconds(figures.Bound(step)))
	}
	h.Heat = make([][]uint64, n)
	series.Walk(now, n, func(i int, p *figures.Point) {
		h.Heat[i] = append([]uint64{}, p.Latencies[low:high]...)
	})
}
