package report

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
)

// Fill adds what a run has recorded. name gives the name of an outcome.
func (r *Report) Fill(rec *load.Recording, out *load.Outcome, name func(uint8) string) {
	r.Version = Version
	r.Elapsed = out.Elapsed.Seconds()
	r.Interrupted = out.Interrupted
	r.Totals = totals(rec, out, name)
	r.Latency = latencyOf(rec.Latency)
	if rec.Errors > 0 && rec.Errors < rec.Calls {
		l := latencyOf(rec.Succeeded())
		r.Succeeded = &l
	}
	if r.Load.Loop == Open {
		l := latencyOf(rec.Lag)
		l.Histogram, l.HDR = nil, ""
		r.Lag = &l
	}
	r.Timeline = append(r.Timeline, slicesOf(rec, out.Elapsed)...)
}

// Add adds a step of a stress test to its report: the step's time line goes behind the
// earlier ones, and with figures its figures become those of the report.
func (r *Report) Add(step *Report, figures bool) {
	for _, s := range step.Timeline {
		if s.At < step.Elapsed {
			s.At += r.Elapsed
			r.Timeline = append(r.Timeline, s)
		}
	}
	r.Elapsed += step.Elapsed
	r.Interrupted = r.Interrupted || step.Interrupted
	if figures {
		r.Totals, r.Latency, r.Succeeded, r.Lag = step.Totals, step.Latency, step.Succeeded, step.Lag
	}
}

func totals(rec *load.Recording, out *load.Outcome, name func(uint8) string) Totals {
	t := Totals{Calls: rec.Calls, Errors: rec.Errors, Unfinished: out.Unfinished, Messages: rec.Messages, Time: out.Elapsed.Seconds()}
	if s := out.Elapsed.Seconds(); s > 0 {
		t.Rate = float64(rec.Calls-rec.Late) / s
		t.MessageRate = float64(rec.Messages) / s
	}
	if rec.Calls > 0 {
		t.ErrorRatio = float64(rec.Errors) / float64(rec.Calls)
	}
	for code, n := range rec.Codes {
		if code == 0 || n == 0 {
			continue
		}
		if t.Codes == nil {
			t.Codes = make(map[string]Code)
		}
		t.Codes[name(uint8(code))] = Code{Count: n, Example: rec.Examples[uint8(code)]}
	}
	return t
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	p := h.ValueAtPercentiles([]float64{50, 90, 99, 99.9})
	l := Latency{
		Count: h.TotalCount(), Min: millis(h.Min()), Mean: millis(int64(h.Mean())), StdDev: millis(int64(h.StdDev())),
		P50: millis(p[50]), P90: millis(p[90]), P99: millis(p[99]), P999: millis(p[99.9]), Max: millis(h.Max()),
		Histogram: bars(h),
	}
	if b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.HDR = string(b)
	}
	return l
}

func millis(ns int64) float64 { return float64(ns) / 1e6 }

// barsPerDecade is how many bars the histogram has for each factor of ten.
const barsPerDecade = 10

// bars sums the values of a histogram in bars of equal width on a logarithmic scale. Empty
// bars between others stay.
func bars(h *hdrhistogram.Histogram) []Bar {
	index := func(ns int64) int { return int(math.Floor(math.Log10(float64(max(ns, 1))) * barsPerDecade)) }
	bound := func(i int) float64 { return millis(int64(math.Round(math.Pow(10, float64(i)/barsPerDecade)))) }
	first := index(h.Min())
	all := make([]Bar, index(h.Max())-first+1)
	for i := range all {
		all[i].From, all[i].To = bound(first+i), bound(first+i+1)
	}
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			i := min(max(index((b.From+b.To)/2)-first, 0), len(all)-1)
			all[i].Count += b.Count
		}
	}
	return all
}

// slicesOf returns the bins of a recording. The last one ends with the run.
func slicesOf(rec *load.Recording, elapsed time.Duration) []Slice {
	all := make([]Slice, 0, len(rec.Bins))
	for i := range rec.Bins {
		b := &rec.Bins[i]
		at := time.Duration(i) * rec.BinLength
		length := rec.BinLength
		if at < elapsed {
			length = min(length, elapsed-at)
		}
		all = append(all, Slice{
			At: at.Seconds(), Length: length.Seconds(), Calls: b.Calls, Errors: b.Errors, Messages: b.Messages,
			P50: millis(b.Latency.ValueAtPercentile(50)), P99: millis(b.Latency.ValueAtPercentile(99)), Max: millis(b.Latency.Max()),
		})
	}
	return all
}
