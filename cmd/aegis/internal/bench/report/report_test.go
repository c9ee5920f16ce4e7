package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
)

// recording makes one of a run of seconds, with calls whose latencies are given in ms.
func recording(t *testing.T, seconds, perSecond int, latency func(i int) float64) *Report {
	t.Helper()
	rec := &load.Recording{
		Latency: hdrhistogram.New(100, int64(load.Longest), 3), Failed: hdrhistogram.New(100, int64(load.Longest), 3),
		Lag: hdrhistogram.New(100, int64(load.Longest), 3), BinLength: 100 * time.Millisecond,
		Examples: map[uint8]string{14: "no server\nlistens\x1b[31m"},
	}
	for range seconds * 10 {
		rec.Bins = append(rec.Bins, load.NewBin())
	}
	n := seconds * perSecond
	for i := range n {
		ns := int64(latency(i) * 1e6)
		bin := &rec.Bins[i*len(rec.Bins)/n]
		rec.Calls++
		bin.Calls++
		require.NoError(t, rec.Latency.RecordValue(ns))
		require.NoError(t, bin.Latency.RecordValue(ns))
		if i%100 == 99 {
			rec.Errors++
			bin.Errors++
			rec.Codes[14]++
			require.NoError(t, rec.Failed.RecordValue(ns))
		}
		require.NoError(t, rec.Lag.RecordValue(2_000_000))
	}
	r := &Report{
		Method: "order.v1.OrderService/PlaceOrder", Pattern: "load balanced",
		Load: Load{Loop: Open, Shape: "constant", Rate: float64(perSecond), Callers: 100, WarmUp: 1, Correction: CorrectedByStart},
	}
	r.Fill(rec, &load.Outcome{Elapsed: time.Duration(seconds) * time.Second, Started: int64(n), Unfinished: 3},
		func(code uint8) string { return fmt.Sprint("code ", code) })
	return r
}

func TestAReportHasTheFiguresOfTheRecording(t *testing.T) {
	t.Parallel()
	r := recording(t, 10, 1000, func(i int) float64 { return float64(i%1000+1) / 10 })
	assert.InDelta(t, 1000, r.Totals.Rate, 1e-9)
	assert.InDelta(t, 0.01, r.Totals.ErrorRatio, 1e-9)
	assert.Equal(t, int64(100), r.Totals.Codes["code 14"].Count)
	assert.InEpsilon(t, 50, r.Latency.P50, 0.002)
	assert.InEpsilon(t, 99, r.Latency.P99, 0.002)
	assert.InEpsilon(t, 99.9, r.Latency.P999, 0.002)
	assert.InEpsilon(t, 100, r.Latency.Max, 0.002)
	assert.InEpsilon(t, 0.1, r.Latency.Min, 0.002)
	assert.Len(t, r.Timeline, 100)
	var calls, inBars int64
	for _, s := range r.Timeline {
		calls += s.Calls
		assert.InDelta(t, 0.1, s.Length, 1e-9)
	}
	for i, b := range r.Latency.Histogram {
		inBars += b.Count
		assert.Less(t, b.From, b.To)
		if i > 0 {
			assert.InDelta(t, b.From, r.Latency.Histogram[i-1].To, 1e-9)
		}
	}
	assert.Equal(t, r.Totals.Calls, calls)
	assert.Equal(t, r.Totals.Calls, inBars)
	h, err := hdrhistogram.Decode([]byte(r.Latency.HDR))
	require.NoError(t, err)
	assert.Equal(t, r.Totals.Calls, h.TotalCount())
	assert.InDelta(t, r.Latency.P99, float64(h.ValueAtPercentile(99))/1e6, 1e-9)
}

func TestATextFitsEveryTerminal(t *testing.T) {
	t.Parallel()
	r := recording(t, 10, 500, func(i int) float64 { return math.Pow(10, float64(i%50)/10-1) })
	r.Interrupted = true
	r.Thresholds = []Threshold{{Name: MaxP99, Limit: 20, Value: 31}, {Name: MaxErrors, Limit: 0.02, Value: 0.01, Held: true}, {Name: MinRate, Limit: 5, Value: 6, Held: true}}
	r.Stress = &Stress{HeldRate: 400, Steps: []Step{{Rate: 400, Achieved: 399, P99: 3, Held: true}, {Rate: 600, Achieved: 480, P99: 1200, ErrorRatio: 0.2, Why: "p99 above 100ms"}}}
	r.Comparison = Compare(r, r, "a/file/with/a/name/that/is/much/too/long/for/a/narrow/terminal.json")
	for _, ascii := range []bool{false, true} {
		for _, width := range []int{20, 40, 59, 60, 80, 200} {
			c := &Canvas{Width: width, ASCII: ascii}
			r.Draw(c)
			for line := range strings.Lines(c.String()) {
				line = strings.TrimSuffix(line, "\n")
				assert.LessOrEqual(t, utf8.RuneCountInString(line), width, "%q", line)
				for _, char := range line {
					assert.GreaterOrEqual(t, char, ' ', "%q", line)
					if ascii {
						assert.LessOrEqual(t, char, '~', "%q", line)
					}
				}
			}
			if width >= 40 {
				for _, part := range []string{"p99.9", "histogram", "calls/s", "errors", "NOT HELD", "interrupted", "highest rate that held", "compared with"} {
					assert.Contains(t, strings.Join(strings.Fields(c.String()), " "), part, "width %d", width)
				}
			}
			assert.Equal(t, ascii, !strings.ContainsRune(c.String(), '█'))
		}
	}
}

func TestAReportWithoutCallsIsDrawn(t *testing.T) {
	t.Parallel()
	r := &Report{Method: "a.B/C"}
	rec := load.NewRecorder(nil, 0, time.Second).Recording()
	r.Fill(rec, &load.Outcome{}, nil)
	c := &Canvas{Width: 40}
	r.Draw(c)
	assert.Contains(t, c.String(), "0 calls")
	b, err := json.Marshal(r)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"version":1`)
}

func TestASavedReportIsReadAgain(t *testing.T) {
	t.Parallel()
	r := recording(t, 2, 100, func(int) float64 { return 1 })
	path := filepath.Join(t.TempDir(), "r.json")
	require.NoError(t, r.Save(path))
	again, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, r, again)

	for text, want := range map[string]string{
		"{":                                 "no report",
		"{}":                                "no version",
		`{"version": 1}`:                    "no version or no method",
		`{"version": 999, "method": "a/b"}`: "update aegis",
		`[1]`:                               "no report",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = Read(path)
		require.ErrorContains(t, err, want)
	}
	_, err = Read(path + ".not")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, r.Save(filepath.Join(path, "not", "there")), "save the report")
}

func TestFiguresAreShort(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{
		0: "0 ms", 0.00042: "0.42 µs", 0.0123: "12.3 µs", 0.9999: "1,000 µs", 1: "1.00 ms", 9.999: "10.0 ms", 42: "42.0 ms", 999: "999 ms", 1234: "1.23 s", 3_600_000: "3,600 s",
	} {
		assert.Equal(t, want, Millis(ms))
	}
	assert.Equal(t, "1,234,567/s", PerSecond(1234567))
	assert.Equal(t, "0.003 %", Percent(0.00003))
	assert.Equal(t, "-1,234", grouped(-1234))
}

func TestTheTestOfMannAndWhitney(t *testing.T) {
	t.Parallel()
	// The example of R's wilcox.test, whose exact p is 0.2544.
	a := []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	b := []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	assert.InDelta(t, 0.2544, MannWhitney(a, b), 0.012)
	assert.InDelta(t, MannWhitney(b, a), MannWhitney(a, b), 1e-12)
	same := []float64{1, 1, 1, 1, 1, 1}
	assert.InDelta(t, 1, MannWhitney(same, same), 0)
	assert.Less(t, MannWhitney([]float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{11, 12, 13, 14, 15, 16, 17, 18}), 0.002)

	// Of samples of one distribution, one in a hundred has a p below 0.01.
	r := rand.New(rand.NewPCG(9, 10))
	found := 0
	for range 5000 {
		x, y := make([]float64, 20), make([]float64, 20)
		for i := range x {
			x[i], y[i] = r.ExpFloat64(), r.ExpFloat64()
		}
		if MannWhitney(x, y) < 0.01 {
			found++
		}
	}
	assert.InDelta(t, 50, found, 25)
}

func metric(t *testing.T, c *Comparison, name string) Metric {
	t.Helper()
	for _, m := range c.Metrics {
		if m.Name == name {
			return m
		}
	}
	require.Fail(t, "no metric "+name)
	return Metric{}
}

func TestAComparisonTellsNoiseFromChange(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	noisy := func(mean float64) func(int) float64 { return func(int) float64 { return mean * (0.5 + r.Float64()) } }
	before, alike := recording(t, 20, 400, noisy(10)), recording(t, 20, 400, noisy(10))
	slower, fewer := recording(t, 20, 400, noisy(12)), recording(t, 20, 300, noisy(10))

	c := Compare(before, alike, "x")
	for _, name := range []string{"calls/s", "p50 ms", "p99 ms", "errors %"} {
		assert.Equal(t, Noise, metric(t, c, name).Verdict, name)
	}
	assert.Equal(t, NotJudged, metric(t, c, "max ms").Verdict)
	assert.Empty(t, c.Differences)

	c = Compare(before, slower, "x")
	assert.Equal(t, Worse, metric(t, c, "p50 ms").Verdict)
	assert.Equal(t, Worse, metric(t, c, "p99 ms").Verdict)
	assert.InDelta(t, 1.2, metric(t, c, "p50 ms").Ratio, 0.05)
	assert.Equal(t, Better, metric(t, Compare(slower, before, "x"), "p50 ms").Verdict)

	c = Compare(before, fewer, "x")
	assert.Equal(t, Worse, metric(t, c, "calls/s").Verdict)
	assert.InDelta(t, 0.75, metric(t, c, "calls/s").Ratio, 0.001)
	assert.Equal(t, []string{"rate: 400, now 300"}, c.Differences)

	short := recording(t, 1, 400, noisy(10))
	short.Timeline = short.Timeline[:4]
	assert.Equal(t, NotJudged, metric(t, Compare(before, short, "x"), "p50 ms").Verdict)
}
