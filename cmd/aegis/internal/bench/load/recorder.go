package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Longest is the longest latency that a histogram holds; a longer one counts as this.
const Longest = time.Hour

// ringSize is how many calls a worker notes before somebody has to collect them.
const ringSize = 128

// Recorder takes what becomes of the calls of one run. Each worker notes its calls in a
// ring of its own, without a lock; Collect, called from time to time, and a worker whose
// ring is full move them into the histograms.
type Recorder struct {
	classify func(error) uint8
	interval time.Duration
	workers  []worker
	origin   time.Duration // of the run, on its clock
	limit    time.Duration // of the run; 0 if it has none

	mu        sync.Mutex // guards all below, and the tails of the rings
	recording Recording
	live      Live          // since the last one was asked for
	shown     time.Duration // when that was
	last      time.Duration // until when the recording goes
}

// worker is written by one caller.
type worker struct {
	head, tail atomic.Uint64
	seen       [256]bool // outcomes whose first error is kept
	messages   atomic.Int64
	ring       [ringSize]sample
}

type sample struct {
	end, latency, lag time.Duration
	code              uint8
}

// Recording is what became of the calls of a run.
type Recording struct {
	Calls, Errors, Messages int64
	Late                    int64            // calls that ended after the run's duration
	Codes                   [256]int64       // calls by their outcome; 0 is success
	Examples                map[uint8]string // the first error of an outcome
	// Latency is of all calls, Failed of those with an error, Lag is how late calls started
	// that were not on time. All are in nanoseconds.
	Latency, Failed, Lag *hdrhistogram.Histogram
	// Bins are the run's time, in parts of equal length.
	Bins      []Bin
	BinLength time.Duration
}

// NewRecorder returns the recorder of one run. classify gives the outcome of a call that
// failed, never 0. An expected interval above 0 adds, for each call that took longer, the
// calls that would have been made in its time: HdrHistogram's correction for coordinated
// omission. bin is the finest length of a part of the time line.
func NewRecorder(classify func(error) uint8, expectedInterval, bin time.Duration) *Recorder {
	return &Recorder{
		classify: classify, interval: expectedInterval,
		recording: Recording{
			Latency: newHistogram(3), Failed: newHistogram(3), Lag: newHistogram(3),
			Examples: make(map[uint8]string), BinLength: bin,
		},
	}
}

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(100*time.Nanosecond), int64(Longest), digits)
}

func (r *Recorder) begin(workers int, origin, limit time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers, r.origin, r.limit = make([]worker, workers), origin, limit
}

// record notes a call. Only the worker itself calls it.
func (r *Recorder) record(id int, intended, start, end time.Duration, err error) {
	w := &r.workers[id]
	s := sample{end: end - r.origin, latency: end - intended, lag: start - intended}
	if err != nil {
		s.code = r.outcome(w, err)
	}
	head := w.head.Load()
	if head-w.tail.Load() == ringSize {
		r.mu.Lock()
		r.take(w)
		r.mu.Unlock()
	}
	w.ring[head%ringSize] = s
	w.head.Store(head + 1)
}

func (r *Recorder) outcome(w *worker, err error) uint8 {
	code := r.classify(err)
	if !w.seen[code] {
		w.seen[code] = true
		r.mu.Lock()
		if _, ok := r.recording.Examples[code]; !ok {
			r.recording.Examples[code] = err.Error()
		}
		r.mu.Unlock()
	}
	return code
}

// Messages counts messages that a worker received in its call.
func (r *Recorder) Messages(id int, n int64) { r.workers[id].messages.Add(n) }

// Collect moves what the workers have noted into the histograms. It may be called while
// they call.
func (r *Recorder) Collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collect()
}

func (r *Recorder) collect() {
	var messages int64
	for i := range r.workers {
		r.take(&r.workers[i])
		messages += r.workers[i].messages.Swap(0)
	}
	r.recording.Messages += messages
	r.live.Messages += messages
	if messages > 0 {
		r.recording.bin(r.last).Messages += messages
	}
}

// CollectAt is Collect, and has messages that were received since the last one count for
// the time now of the run's clock.
func (r *Recorder) CollectAt(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = max(r.last, now-r.origin)
	r.collect()
}

func (r *Recorder) lastEnd() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collect()
	return r.last
}

// take empties the ring of a worker.
func (r *Recorder) take(w *worker) {
	head := w.head.Load()
	for tail := w.tail.Load(); tail != head; tail++ {
		r.add(&w.ring[tail%ringSize])
		w.tail.Store(tail + 1)
	}
}

func (r *Recorder) add(s *sample) {
	rec := &r.recording
	ns := int64(min(s.latency, Longest))
	bin := rec.bin(s.end)
	rec.Calls++
	r.live.Calls++
	bin.Calls++
	rec.Codes[s.code]++
	if r.limit > 0 && s.end > r.limit {
		rec.Late++
	}
	if s.code != 0 {
		rec.Errors++
		r.live.Errors++
		bin.Errors++
		r.corrected(rec.Failed, ns)
	}
	r.corrected(rec.Latency, ns)
	if s.lag > 0 {
		record(rec.Lag, int64(min(s.lag, Longest)))
	}
	record(bin.Latency, ns)
	r.last = max(r.last, s.end)
}

func (r *Recorder) corrected(h *hdrhistogram.Histogram, ns int64) {
	if r.interval > 0 {
		_ = h.RecordCorrectedValue(ns, int64(r.interval)) // see record
		return
	}
	record(h, ns)
}

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(ns) // fails above Longest only, which the caller excludes
}

// Recording returns what was recorded. It is for the time after the run.
func (r *Recorder) Recording() *Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collect()
	return &r.recording
}

// Succeeded returns the latency of the calls without an error.
func (r *Recording) Succeeded() *hdrhistogram.Histogram {
	h := newHistogram(3)
	failed := r.Failed.Distribution()
	for i, bar := range r.Latency.Distribution() {
		n := bar.Count
		if i < len(failed) {
			n -= failed[i].Count
		}
		if n > 0 {
			_ = h.RecordValues(bar.From, n) // see record
		}
	}
	return h
}

// Live is what happened since the last one. The latencies are those of whole bins.
type Live struct {
	Calls, Errors, Messages int64
	P50, P99                time.Duration
}

// Live collects, and returns what became of calls that ended since it was last called.
func (r *Recorder) Live(now time.Duration) Live {
	r.CollectAt(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.live
	recent := NewBin()
	for i := int(r.shown / r.recording.BinLength); i < len(r.recording.Bins); i++ {
		recent.Merge(&r.recording.Bins[i])
	}
	l.P50 = time.Duration(recent.Latency.ValueAtPercentile(50))
	l.P99 = time.Duration(recent.Latency.ValueAtPercentile(99))
	r.live, r.shown = Live{}, max(0, now-r.origin)
	return l
}
