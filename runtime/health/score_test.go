package health

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// with returns stats with this many failures of 1,000 requests and this mean.
func with(failed uint64, mean time.Duration) Stats {
	return Stats{Requests: 1000, Errors: map[Code]uint64{14: failed}, Latency: &Latency{Mean: mean}}
}

func TestScoreAtEveryBoundary(t *testing.T) {
	percent := func(p float64) *float64 { return &p }
	for title, c := range map[string]struct {
		stats  Stats
		usage  Usage
		limits Limits
		want   float64
	}{
		"nothing":                   {Stats{}, Usage{}, Limits{}, 100},
		"5 % errors":                {with(50, 0), Usage{}, Limits{}, 100},
		"5.1 % errors":              {with(51, 0), Usage{}, Limits{}, 100 - 10.2},
		"10 % errors":               {with(100, 0), Usage{}, Limits{}, 80},
		"14.9 % errors":             {with(149, 0), Usage{}, Limits{}, 70.2},
		"15 % errors":               {with(150, 0), Usage{}, Limits{}, 70},
		"15.1 % errors":             {with(151, 0), Usage{}, Limits{}, 70},
		"all errors":                {with(1000, 0), Usage{}, Limits{}, 70},
		"100 ms":                    {with(0, 100*ms), Usage{}, Limits{}, 100},
		"a little over 100 ms":      {with(0, 100*ms+1), Usage{}, Limits{}, 100 - 1e-7},
		"101 ms":                    {with(0, 101*ms), Usage{}, Limits{}, 99.9},
		"200 ms":                    {with(0, 200*ms), Usage{}, Limits{}, 90},
		"299 ms":                    {with(0, 299*ms), Usage{}, Limits{}, 80.1},
		"300 ms":                    {with(0, 300*ms), Usage{}, Limits{}, 80},
		"301 ms":                    {with(0, 301*ms), Usage{}, Limits{}, 80},
		"an hour":                   {with(0, time.Hour), Usage{}, Limits{}, 80},
		"CPU 80 %":                  {Stats{}, Usage{CPUPercent: percent(80)}, Limits{}, 100},
		"CPU over 80 %":             {Stats{}, Usage{CPUPercent: percent(math.Nextafter(80, 100))}, Limits{}, 90},
		"500 MB":                    {Stats{}, Usage{MemoryBytes: 500_000_000}, Limits{}, 100},
		"over 500 MB":               {Stats{}, Usage{MemoryBytes: 500_000_001}, Limits{}, 90},
		"over 500 MB of 1 GB":       {Stats{}, Usage{MemoryBytes: 500_000_001}, Limits{Memory: 1_000_000_000}, 100},
		"over 1 GB":                 {Stats{}, Usage{MemoryBytes: 1_000_000_001}, Limits{Memory: 1_000_000_000}, 90},
		"everything":                {with(1000, time.Hour), Usage{CPUPercent: percent(100), MemoryBytes: 1 << 40}, Limits{}, 30},
		"10 % errors and 200 ms":    {with(100, 200*ms), Usage{}, Limits{}, 70},
		"errors of several codes":   {Stats{Requests: 10, Errors: map[Code]uint64{1: 1, 5: 1}}, Usage{}, Limits{}, 70},
		"errors that are unhealthy": {Stats{Requests: 1, Errors: map[Code]uint64{13: 1}}, Usage{}, Limits{}, 70},
	} {
		a := Assess(c.stats, c.usage, nil, c.limits)
		require.InDelta(t, c.want, a.Score, 1e-9, title)
		require.False(t, a.Unhealthy, title)
		require.Equal(t, c.usage, a.Usage, title)
	}
}

func TestGradeAtEveryBoundary(t *testing.T) {
	for _, c := range []struct {
		mean    time.Duration
		percent float64
		want    Grade
	}{
		{0, 0, GradeAPlus},
		{10*ms - 1, 0.999, GradeAPlus},
		{10 * ms, 0, GradeA},
		{0, 1, GradeA},
		{50*ms - 1, 1.999, GradeA},
		{50 * ms, 0, GradeB},
		{0, 2, GradeB},
		{100*ms - 1, 4.999, GradeB},
		{100 * ms, 0, GradeC},
		{0, 5, GradeC},
		{200*ms - 1, 9.999, GradeC},
		{200 * ms, 0, GradeD},
		{0, 10, GradeD},
		{time.Hour, 100, GradeD},
	} {
		require.Equal(t, c.want, GradeOf(c.mean, c.percent), "%v and %v %%", c.mean, c.percent)
	}
	for failed, want := range map[uint64]Grade{0: GradeAPlus, 9: GradeAPlus, 10: GradeA, 19: GradeA, 20: GradeB, 49: GradeB, 50: GradeC, 99: GradeC, 100: GradeD} {
		require.Equal(t, want, Assess(with(failed, 0), Usage{}, nil, Limits{}).Grade, "%d of 1000", failed)
	}
}

func TestFindingsLowerTheScoreOrTakeOut(t *testing.T) {
	assess := func(f ...Finding) Assessment { return Assess(with(1000, time.Hour), Usage{}, f, Limits{}) }
	require.InDelta(t, 45, assess(Finding{Penalty: 5}).Score, 0)
	require.InDelta(t, 0, assess(Finding{Penalty: 30}, Finding{Penalty: 30}).Score, 0)
	require.InDelta(t, 50, assess(Finding{Penalty: -30}).Score, 0, "no check raises it")
	require.InDelta(t, 50, assess(Finding{Penalty: math.NaN()}).Score, 0)
	require.InDelta(t, 0, assess(Finding{Penalty: math.Inf(1)}).Score, 0)
	a := assess(Finding{}, Finding{Check: "db", Unhealthy: true})
	require.True(t, a.Unhealthy)
	require.InDelta(t, 50, a.Score, 0)
	require.Equal(t, GradeD, a.Grade)
}

// A command that works for an hour lowers neither score nor grade; its errors do.
func TestLatencyOfUnratedMethodsDoesNotCount(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r, err := NewRecorder(Config{}, now)
	require.NoError(t, err)
	call, command := r.Method("Get"), r.Method("Work")
	command.Unrate()
	end := func(m *Method, took time.Duration, code Code) {
		m.Begin()
		m.End(now, took, code)
	}
	end(command, time.Hour, 0)
	require.Nil(t, r.Stats(now).Latency, "no call has ended")
	require.EqualValues(t, 1, r.Stats(now).Requests)
	require.Equal(t, time.Hour, command.Stats(now).Mean(), "the method's own figures have it")
	end(call, time.Millisecond, 0)
	for _, stats := range []Stats{r.Stats(now), command.Stats(now)} {
		a := Assess(stats, Usage{}, nil, Limits{})
		require.Equal(t, GradeAPlus, a.Grade)
		require.InDelta(t, 100, a.Score, 0)
	}
	stats := r.Stats(now)
	require.EqualValues(t, 2, stats.Requests)
	require.Equal(t, time.Millisecond, stats.Latency.Max)
	require.Equal(t, time.Millisecond, r.Rated().MeanSince(Totals{}))
	require.Equal(t, time.Hour+time.Millisecond, r.Totals().Busy)

	end(command, time.Hour, 13)
	a := Assess(r.Stats(now), Usage{}, nil, Limits{})
	require.Equal(t, GradeD, a.Grade)
	require.InDelta(t, 70, a.Score, 0)
}
