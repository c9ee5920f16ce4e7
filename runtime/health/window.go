package health

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// span has the counts of one part of the window.
type span struct {
	epoch   atomic.Int64 // the number of the part since the start
	codes   [codes]atomic.Uint64
	refused [refusals]atomic.Uint64
	sum     atomic.Int64 // of the latencies
	min     atomic.Int64
	max     atomic.Int64
	buckets counters
}

// window counts in spans that are used in turn. The first request of a new part of time
// clears the oldest span for it. That is the only time when a request takes a lock: once
// in ten seconds, for as long as it takes to clear 4 kB.
type window struct {
	width time.Duration
	spans []atomic.Pointer[span]

	mu        sync.Mutex // guards the rest, and the making and clearing of spans
	past      totals     // of the spans that were cleared
	latencies *histogram // of those spans; nil if none was cleared
}

type totals struct {
	codes   [codes]uint64
	refused [refusals]uint64
	sum     time.Duration
}

func newWindow(width time.Duration, spans int) *window {
	return &window{width: width, spans: make([]atomic.Pointer[span], spans)}
}

// record counts a request that has ended at now, a time since the start.
func (w *window) record(now, latency time.Duration, code Code) {
	s := w.at(now)
	if s == nil {
		return
	}
	s.codes[code].Add(1)
	s.sum.Add(int64(latency))
	s.buckets[bucketOf(latency)].Add(1)
	for low := s.min.Load(); int64(latency) < low && !s.min.CompareAndSwap(low, int64(latency)); {
		low = s.min.Load()
	}
	for high := s.max.Load(); int64(latency) > high && !s.max.CompareAndSwap(high, int64(latency)); {
		high = s.max.Load()
	}
}

// refuse counts a request that was refused at now.
func (w *window) refuse(now time.Duration, why Refusal) {
	if s := w.at(now); s != nil {
		s.refused[why].Add(1)
	}
}

// at returns the span of now; nil if the caller was paused for so long that now is not in
// the window any more.
func (w *window) at(now time.Duration) *span {
	epoch := int64(now / w.width)
	if s := w.spans[epoch%int64(len(w.spans))].Load(); s != nil && s.epoch.Load() == epoch {
		return s
	}
	return w.turn(epoch)
}

// turn returns the span of a new part of time, nil if that is past.
func (w *window) turn(epoch int64) *span {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := &w.spans[epoch%int64(len(w.spans))]
	s := at.Load()
	switch {
	case s == nil:
		s = &span{}
		s.min.Store(math.MaxInt64)
		s.epoch.Store(epoch)
		at.Store(s)
		return s
	case s.epoch.Load() == epoch:
		return s
	case s.epoch.Load() > epoch:
		return nil
	}
	for i := range s.codes {
		w.past.codes[i] += s.codes[i].Swap(0)
	}
	for i := range s.refused {
		w.past.refused[i] += s.refused[i].Swap(0)
	}
	w.past.sum += time.Duration(s.sum.Swap(0))
	if w.latencies == nil {
		w.latencies = &histogram{}
	}
	for i := range s.buckets {
		w.latencies[i] += uint64(s.buckets[i].Swap(0))
	}
	s.min.Store(math.MaxInt64)
	s.max.Store(0)
	s.epoch.Store(epoch)
	return s
}

// tally is a sum over spans, of one method or of several.
type tally struct {
	totals
	min, max  time.Duration
	histogram histogram
}

func newTally() *tally {
	t := &tally{}
	t.reset()
	return t
}

func (t *tally) reset() { *t = tally{min: math.MaxInt64} }

// sumUp adds the spans that are in the window at now.
func (w *window) sumUp(now time.Duration, into *tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := int64(now / w.width)
	first := last - int64(len(w.spans)) + 1
	for i := range w.spans {
		s := w.spans[i].Load()
		if s == nil || s.epoch.Load() < first || s.epoch.Load() > last {
			continue
		}
		s.addTo(&into.totals)
		into.min = min(into.min, time.Duration(s.min.Load()))
		into.max = max(into.max, time.Duration(s.max.Load()))
		into.histogram.add(&s.buckets)
	}
}

// total adds all counts since the start.
func (w *window) total(into *totals) {
	w.mu.Lock()
	defer w.mu.Unlock()
	into.merge(&w.past)
	for i := range w.spans {
		if s := w.spans[i].Load(); s != nil {
			s.addTo(into)
		}
	}
}

func (s *span) addTo(t *totals) {
	for i := range s.codes {
		t.codes[i] += s.codes[i].Load()
	}
	for i := range s.refused {
		t.refused[i] += s.refused[i].Load()
	}
	t.sum += time.Duration(s.sum.Load())
}

func (t *totals) merge(other *totals) {
	for i, n := range other.codes {
		t.codes[i] += n
	}
	for i, n := range other.refused {
		t.refused[i] += n
	}
	t.sum += other.sum
}

// allLatencies returns the histogram since the start.
func (w *window) allLatencies() *histogram {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &histogram{}
	if w.latencies != nil {
		*h = *w.latencies
	}
	for i := range w.spans {
		if s := w.spans[i].Load(); s != nil {
			h.add(&s.buckets)
		}
	}
	return h
}
