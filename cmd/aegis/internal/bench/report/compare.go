package report

import (
	"fmt"
	"math"
	"sort"
)

// Comparison is a run beside an earlier one.
type Comparison struct {
	With        string   `json:"with"`
	Differences []string `json:"differences,omitempty"` // between the loads, which make a comparison doubtful
	Metrics     []Metric `json:"metrics"`
}

// Metric is one figure of two runs.
type Metric struct {
	Name    string   `json:"name"`
	Before  float64  `json:"before"`
	After   float64  `json:"after"`
	Ratio   float64  `json:"ratio,omitempty"` // after / before
	P       *float64 `json:"p,omitempty"`     // of the Mann-Whitney test, where there is one
	Verdict string   `json:"verdict"`
}

// The verdicts about a metric.
const (
	Noise     = "noise"
	Better    = "better"
	Worse     = "worse"
	NotJudged = "not judged" // there are too few windows, or the metric has one value for each run
)

const (
	windows    = 20   // into which the time of a run is divided, at most
	minWindows = 6    // fewer tell nothing
	alpha      = 0.01 // below which p makes a difference more than noise
	minChange  = 0.03 // below which a difference is noise whatever p is
)

// Compare compares a run with an earlier one, which was read from a file.
//
// The time of each run is divided into windows, and the two sets of windows are compared by
// the test of Mann and Whitney (1947), which takes no distribution for granted. A difference
// is more than noise if p is below 0.01 and it is 3 % at least. The windows know the noise
// within the runs, not that between runs.
func Compare(earlier, now *Report, file string) *Comparison {
	c := &Comparison{With: file, Differences: differences(earlier, now)}
	before, after := windowsOf(earlier), windowsOf(now)
	rate := func(s *Slice) float64 { return float64(s.Calls) / s.Length }
	messages := func(s *Slice) float64 { return float64(s.Messages) / s.Length }
	judged := func(name string, a, b float64, of func(*Slice) float64, moreIsBetter bool) {
		c.Metrics = append(c.Metrics, judge(name, a, b, values(before, of), values(after, of), moreIsBetter))
	}
	single := func(name string, a, b float64) {
		c.Metrics = append(c.Metrics, Metric{Name: name, Before: a, After: b, Ratio: ratio(a, b), Verdict: NotJudged})
	}
	judged("calls/s", earlier.Totals.Rate, now.Totals.Rate, rate, true)
	if earlier.Totals.Messages > 0 || now.Totals.Messages > 0 {
		judged("messages/s", earlier.Totals.MessageRate, now.Totals.MessageRate, messages, true)
	}
	judged("p50 ms", earlier.Latency.P50, now.Latency.P50, func(s *Slice) float64 { return s.P50 }, false)
	single("p90 ms", earlier.Latency.P90, now.Latency.P90)
	judged("p99 ms", earlier.Latency.P99, now.Latency.P99, func(s *Slice) float64 { return s.P99 }, false)
	single("p99.9 ms", earlier.Latency.P999, now.Latency.P999)
	single("max ms", earlier.Latency.Max, now.Latency.Max)
	errors := func(s *Slice) float64 { return float64(s.Errors) / float64(max(s.Calls, 1)) }
	judged("errors %", 100*earlier.Totals.ErrorRatio, 100*now.Totals.ErrorRatio, errors, false)
	return c
}

// differences are what makes two loads unlike.
func differences(a, b *Report) []string {
	var all []string
	add := func(name string, a, b any) {
		if a != b {
			all = append(all, fmt.Sprintf("%s: %v, now %v", name, a, b))
		}
	}
	add("method", a.Method, b.Method)
	add("loop", a.Load.Loop, b.Load.Loop)
	add("shape", a.Load.Shape, b.Load.Shape)
	add("rate", a.Load.Rate, b.Load.Rate)
	add("parameters", a.Load.Parameters, b.Load.Parameters)
	add("callers", a.Load.Callers, b.Load.Callers)
	add("correction", a.Load.Correction, b.Load.Correction)
	add("expected interval in ms", a.Load.ExpectedInterval, b.Load.ExpectedInterval)
	return all
}

func ratio(before, after float64) float64 {
	if before == 0 {
		return 0
	}
	return after / before
}

func judge(name string, before, after float64, a, b []float64, moreIsBetter bool) Metric {
	m := Metric{Name: name, Before: before, After: after, Ratio: ratio(before, after), Verdict: NotJudged}
	if len(a) < minWindows || len(b) < minWindows {
		return m
	}
	p := MannWhitney(a, b)
	m.P = &p
	switch {
	case p >= alpha || math.Abs(after-before) < minChange*before:
		m.Verdict = Noise
	case after > before == moreIsBetter:
		m.Verdict = Better
	default:
		m.Verdict = Worse
	}
	return m
}

// windowsOf divides the time of a run. Percentiles of a window are the mean of those of its
// slices, weighted by their calls. Slices after the run, and a last one that is cut off,
// are left out.
func windowsOf(r *Report) []Slice {
	full := make([]Slice, 0, len(r.Timeline))
	for _, s := range r.Timeline {
		if s.Length > 0 && s.At+s.Length <= r.Elapsed*1.0001 && s.Length >= r.Timeline[0].Length*0.999 {
			full = append(full, s)
		}
	}
	n := min(windows, len(full))
	all := make([]Slice, n)
	for i := range all {
		for _, s := range full[i*len(full)/n : (i+1)*len(full)/n] {
			all[i] = sum(all[i], s)
		}
	}
	return all
}

func sum(a, b Slice) Slice {
	total := Slice{
		At: a.At, Length: a.Length + b.Length, Calls: a.Calls + b.Calls, Errors: a.Errors + b.Errors,
		Messages: a.Messages + b.Messages, Max: max(a.Max, b.Max),
	}
	if total.Calls > 0 {
		share := float64(b.Calls) / float64(total.Calls)
		total.P50 = a.P50 + (b.P50-a.P50)*share
		total.P99 = a.P99 + (b.P99-a.P99)*share
	}
	return total
}

func values(s []Slice, of func(*Slice) float64) []float64 {
	all := make([]float64, len(s))
	for i := range s {
		all[i] = of(&s[i])
	}
	return all
}

// MannWhitney returns the two-sided p of the hypothesis that two samples are of one
// distribution, by the normal approximation with corrections for ties and continuity.
func MannWhitney(a, b []float64) float64 {
	type item struct {
		value float64
		first bool
	}
	all := make([]item, 0, len(a)+len(b))
	for _, v := range a {
		all = append(all, item{v, true})
	}
	for _, v := range b {
		all = append(all, item{v, false})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].value < all[j].value })
	var ranks, ties float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].value == all[i].value {
			j++
		}
		same := float64(j - i)
		ties += same*same*same - same
		for ; i < j; i++ {
			if all[i].first {
				ranks += float64(j) - (same-1)/2
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	variance := n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1)))
	if variance <= 0 {
		return 1 // all values are the same
	}
	z := max(0, math.Abs(u-n*m/2)-0.5) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}
