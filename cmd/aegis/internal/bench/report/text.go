package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Draw draws the report.
func (r *Report) Draw(c *Canvas) {
	c.Width = max(c.Width, 20)
	r.drawTotals(c)
	r.drawStress(c)
	r.drawLatency(c)
	r.drawHistogram(c)
	r.drawTimeline(c)
	r.drawThresholds(c)
	r.drawComparison(c)
}

func (r *Report) drawTotals(c *Canvas) {
	t := &r.Totals
	c.paragraph(Title, r.Method)
	c.paragraph(Faint, r.Pattern+", "+r.Load.describe())
	if r.Interrupted {
		c.paragraph(Bad, "interrupted; this is what was measured until then")
	}
	switch {
	case r.Stress != nil && r.Stress.HeldRate > 0:
		c.paragraph(0, "the figures are those of the highest rate that held:")
	case r.Stress != nil:
		c.paragraph(0, "the figures are those of the first rate:")
	}
	c.paragraph(0, fmt.Sprintf("%s calls in %s, %s", grouped(t.Calls), Millis(r.Totals.Time*1000), PerSecond(t.Rate)))
	if t.Messages > 0 {
		c.paragraph(0, fmt.Sprintf("%s messages received, %s", grouped(t.Messages), PerSecond(t.MessageRate)))
	}
	if t.Unfinished > 0 {
		c.paragraph(0, grouped(t.Unfinished)+" calls were in flight at the end, and are not counted")
	}
	if t.Errors == 0 {
		c.painted(Good, "no errors")
		return
	}
	c.painted(Bad, fmt.Sprintf("%s errors, %s of the calls", grouped(t.Errors), Percent(t.ErrorRatio)))
	for _, code := range slices.SortedFunc(maps.Keys(t.Codes), func(a, b string) int { return int(t.Codes[b].Count - t.Codes[a].Count) }) {
		c.line(fmt.Sprintf("  %s %s: %s", grouped(t.Codes[code].Count), code, t.Codes[code].Example))
	}
}

// describe tells a load in words.
func (l *Load) describe() string {
	var b strings.Builder
	if l.Loop == Open {
		fmt.Fprintf(&b, "open loop, %s", l.Shape)
		if l.Rate > 0 {
			fmt.Fprintf(&b, " %s", PerSecond(l.Rate))
		}
		if l.Parameters != "" {
			fmt.Fprintf(&b, " (%s)", l.Parameters)
		}
		fmt.Fprintf(&b, ", at most %d calls at a time", l.Callers)
	} else {
		fmt.Fprintf(&b, "closed loop, %d callers", l.Callers)
	}
	if l.WarmUp > 0 {
		fmt.Fprintf(&b, ", %s of warm-up not counted", Millis(l.WarmUp*1000))
	}
	return b.String()
}

// correction tells what a latency is.
func (l *Load) correction() string {
	switch l.Correction {
	case CorrectedByStart:
		return "latency, from the intended start of each call (corrected for coordinated omission)"
	case CorrectedByInterval:
		return "latency, corrected for coordinated omission with an expected interval of " + Millis(l.ExpectedInterval)
	default:
		return "latency, not corrected for coordinated omission (--rate or --expected-interval do)"
	}
}

func (r *Report) drawLatency(c *Canvas) {
	if r.Latency.Count == 0 {
		return
	}
	c.line("")
	c.paragraph(Title, r.Load.correction())
	columns := []*Latency{&r.Latency}
	heads := []string{""}
	if r.Succeeded != nil {
		columns, heads = append(columns, r.Succeeded), []string{"all", "succeeded"}
	}
	if r.Lag != nil && r.Lag.P99 >= 1 {
		columns, heads = append(columns, r.Lag), append(heads, "of it waiting to start")
		if heads[0] == "" {
			heads[0] = "all"
		}
		if c.Width < 50 {
			heads[len(heads)-1] = "waiting"
		}
	}
	row := func(name string, cell func(i int) string) {
		var b strings.Builder
		fmt.Fprintf(&b, "  %-6s", name)
		for i := range columns {
			b.WriteString(pad(cell(i), max(10, len(heads[i])+2)))
		}
		c.line(b.String())
	}
	if len(columns) > 1 {
		row("", func(i int) string { return heads[i] })
	}
	for _, p := range []struct {
		name string
		of   func(*Latency) float64
	}{
		{"p50", func(l *Latency) float64 { return l.P50 }},
		{"p90", func(l *Latency) float64 { return l.P90 }},
		{"p99", func(l *Latency) float64 { return l.P99 }},
		{"p99.9", func(l *Latency) float64 { return l.P999 }},
		{"max", func(l *Latency) float64 { return l.Max }},
	} {
		row(p.name, func(i int) string { return Millis(p.of(columns[i])) })
	}
}

func (r *Report) drawHistogram(c *Canvas) {
	bars := r.Latency.Histogram
	if len(bars) == 0 {
		return
	}
	for len(bars) > 16 { // rows of a terminal are few
		bars = pairs(bars)
	}
	var most int64
	label, count := 0, 0
	for _, b := range bars {
		most = max(most, b.Count)
		label = max(label, len([]rune(Millis(b.From))))
		count = max(count, len(grouped(b.Count)))
	}
	c.line("")
	c.painted(Title, "histogram, from")
	room := max(c.Width-label-count-4, 4)
	for _, b := range bars {
		bar := c.bar(float64(b.Count) / float64(most) * float64(room))
		c.line(pad(Millis(b.From), label+1) + " " + bar + " " + grouped(b.Count))
	}
}

func pairs(bars []Bar) []Bar {
	half := make([]Bar, 0, len(bars)/2+1)
	for i := 0; i < len(bars); i += 2 {
		b := bars[i]
		if i+1 < len(bars) {
			b.To, b.Count = bars[i+1].To, b.Count+bars[i+1].Count
		}
		half = append(half, b)
	}
	return half
}

// chartHeight is in lines.
const chartHeight = 4

func (r *Report) drawTimeline(c *Canvas) {
	var during []Slice
	for _, s := range r.Timeline {
		if s.Length > 0 && (r.Stress != nil || s.At < r.Elapsed) {
			during = append(during, s)
		}
	}
	if n := len(during); n > 1 && during[n-1].Length < during[0].Length/2 {
		during = during[:n-1] // too short for a rate
	}
	if len(during) < 2 {
		return
	}
	n := min(len(during), c.Width-12)
	columns := make([]Slice, n)
	worst := make([]float64, n)
	for i := range columns {
		for _, s := range during[i*len(during)/n : (i+1)*len(during)/n] {
			columns[i] = sum(columns[i], s)
			worst[i] = max(worst[i], s.P99)
		}
	}
	last := during[len(during)-1]
	span := " from 0 to " + Millis((last.At+last.Length)*1000)
	draw := func(title string, v []float64, label func(float64) string) {
		c.line("")
		c.painted(Title, title+span)
		c.chart(v, chartHeight, label)
	}
	if r.Totals.Messages > 0 {
		draw("messages/s", values(columns, func(s *Slice) float64 { return float64(s.Messages) / s.Length }), Number)
	} else {
		draw("calls/s", values(columns, func(s *Slice) float64 { return float64(s.Calls) / s.Length }), Number)
	}
	if r.Latency.Count > 0 {
		draw("p99", worst, Millis)
	}
	if r.Totals.Errors > 0 {
		draw("errors/s", values(columns, func(s *Slice) float64 { return float64(s.Errors) / s.Length }), Number)
	}
}

func (r *Report) drawStress(c *Canvas) {
	if r.Stress == nil {
		return
	}
	c.line("")
	c.painted(Title, "      rate   answered       p99  errors")
	for _, s := range r.Stress.Steps {
		verdict, m := "held", Good
		if !s.Held {
			verdict, m = s.Why, Bad
		}
		text := pad(PerSecond(s.Rate), 10) + pad(PerSecond(s.Achieved), 11) + pad(Millis(s.P99), 10) + pad(Percent(s.ErrorRatio), 8)
		if c.Width >= 60 {
			c.painted(m, text+"  "+verdict)
			continue
		}
		c.painted(m, text)
		if !s.Held {
			c.paragraph(m, "    "+verdict)
		}
	}
	if r.Stress.HeldRate > 0 {
		c.paragraph(Good, "the highest rate that held: "+PerSecond(r.Stress.HeldRate))
	} else {
		c.paragraph(Bad, "no rate held")
	}
}

func (r *Report) drawThresholds(c *Canvas) {
	if len(r.Thresholds) == 0 {
		return
	}
	c.line("")
	for _, t := range r.Thresholds {
		show := map[string]func(float64) string{MaxP99: Millis, MaxErrors: Percent, MinRate: PerSecond}[t.Name]
		if t.Held {
			c.paragraph(Good, fmt.Sprintf("held: --%s %s, measured %s", t.Name, show(t.Limit), show(t.Value)))
		} else {
			c.paragraph(Bad, fmt.Sprintf("NOT HELD: --%s %s, measured %s", t.Name, show(t.Limit), show(t.Value)))
		}
	}
}

// The names of thresholds.
const (
	MaxP99    = "max-p99"
	MaxErrors = "max-errors"
	MinRate   = "min-rate"
)

func (r *Report) drawComparison(c *Canvas) {
	if r.Comparison == nil {
		return
	}
	c.line("")
	c.paragraph(Title, "compared with "+r.Comparison.With)
	for _, d := range r.Comparison.Differences {
		c.paragraph(Bad, "the loads differ in "+d)
	}
	c.line(pad("before", 20) + pad("now", 10) + pad("ratio", 7))
	for _, m := range r.Comparison.Metrics {
		ratio := "-"
		if m.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", m.Ratio)
		}
		meaning := map[string]Meaning{Better: Good, Worse: Bad, Noise: Faint, NotJudged: Faint}[m.Verdict]
		verdict := m.Verdict
		if m.P != nil && c.Width >= 60 {
			verdict += fmt.Sprintf(" (p=%.3f)", *m.P)
		}
		text := fmt.Sprintf("%-10s", m.Name) + pad(Number(m.Before), 10) + pad(Number(m.After), 10) + pad(ratio, 7)
		if c.Width < 38+len(verdict) {
			c.painted(meaning, text)
			c.painted(meaning, "  "+verdict)
			continue
		}
		c.painted(meaning, text+"  "+verdict)
	}
	c.paragraph(Faint, "Noise: windows of the two runs differ by chance (p of 0.01 or more) or by less than 3 %. Runs of different "+
		"times differ by more than their windows show: repeat both before you trust a small change.")
}
