package figures_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/health"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func counts(requests, errors uint64, spread health.Spread) figures.Counts {
	return figures.Counts{Requests: requests, Errors: errors, Spread: spread}
}

func TestADeltaIsWhatHappenedBetweenTwoReadings(t *testing.T) {
	t.Parallel()
	d, ok := counts(30, 4, health.Spread{3: 20, 9: 10}).Since(counts(10, 1, health.Spread{3: 10}), 2*time.Second)
	require.True(t, ok)
	require.EqualValues(t, 20, d.Requests)
	require.EqualValues(t, 3, d.Errors)
	require.InDelta(t, 10, d.PerSecond(), 1e-9)
	var sum figures.Sum
	sum.Add(&d)
	require.EqualValues(t, 10, sum.Latencies[3])
	require.EqualValues(t, 10, sum.Latencies[9])
}

func TestCountsThatCannotBeAreOfNoUse(t *testing.T) {
	t.Parallel()
	now := counts(30, 4, health.Spread{3: 20, 9: 10})
	for name, one := range map[string]struct {
		earlier figures.Counts
		over    time.Duration
	}{
		"fewer requests":         {counts(31, 0, nil), time.Second},
		"fewer errors":           {counts(10, 5, nil), time.Second},
		"fewer of a latency":     {counts(10, 1, health.Spread{3: 21}), time.Second},
		"a latency that is gone": {counts(10, 1, health.Spread{3: 10, 4: 1}), time.Second},
		"no time":                {counts(10, 1, nil), 0},
		"a time that runs back":  {counts(10, 1, nil), -time.Second},
	} {
		_, ok := now.Since(one.earlier, one.over)
		require.False(t, ok, name)
	}
	_, ok := counts(math.MaxUint64, 0, nil).Since(counts(0, 0, nil), time.Second)
	require.False(t, ok, "more than an instance can do")
}

func TestLatenciesThatWereNotSaidBeforeAreNotThoseOfNow(t *testing.T) {
	t.Parallel()
	d, ok := counts(1001, 0, health.Spread{3: 1001}).Since(counts(1000, 0, nil), time.Second)
	require.True(t, ok)
	var sum figures.Sum
	sum.Add(&d)
	require.EqualValues(t, 1, sum.Requests)
	require.Zero(t, sum.Latencies.Total())
}

func TestErrorsThatWereCountedFirstAreNoMoreThanTheRequests(t *testing.T) {
	t.Parallel()
	d, ok := counts(11, 5, nil).Since(counts(10, 0, nil), time.Second)
	require.True(t, ok)
	require.EqualValues(t, 1, d.Errors)
}

func TestPercentilesAreThoseOfTheSpread(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		spread := health.Spread{}
		for range 1 + r.IntN(20) {
			spread[health.Step(r.IntN(110))] += uint64(r.IntN(1000))
		}
		d, ok := counts(spread.Requests(), 0, spread).Since(figures.Counts{}, time.Hour)
		require.True(t, ok)
		var sum figures.Sum
		sum.Add(&d)
		for _, perMille := range []uint64{1, 500, 900, 990, 1000} {
			got, known := sum.Latencies.Percentile(perMille)
			require.Equal(t, spread.Requests() > 0, known)
			require.Equal(t, spread.Percentile(perMille), got, "seed %d, %d of 1,000", seed, perMille)
		}
	}
}

func TestBoundsAscendAndEnd(t *testing.T) {
	t.Parallel()
	for step := range len(figures.Latencies{}) {
		bound := figures.Bound(step)
		require.Less(t, bound, time.Hour)
		if step > 0 {
			require.GreaterOrEqual(t, bound, figures.Bound(step-1))
		}
	}
}

func TestSumsOfAbsurdCountsDoNotWrapAround(t *testing.T) {
	t.Parallel()
	a := figures.Sum{Requests: math.MaxUint64, Errors: math.MaxUint64}
	a.Latencies[5] = math.MaxUint64
	b := a
	a.Merge(&b)
	percent, ok := a.ErrorPercent()
	require.True(t, ok)
	require.InDelta(t, 100, percent, 1e-9)
	p, ok := a.Latencies.Percentile(990)
	require.True(t, ok)
	require.LessOrEqual(t, p, figures.Bound(5))
}

func sumOf(requests, errors uint64, step int) *figures.Sum {
	s := &figures.Sum{Requests: requests, Errors: errors}
	s.Latencies[step] = requests
	return s
}

func points(s *figures.Series, now time.Time, n int) []figures.Point {
	var list []figures.Point
	s.Walk(now, n, func(_ int, p *figures.Point) { list = append(list, *p) })
	return list
}

func TestASeriesHasEachStepOfTheHour(t *testing.T) {
	t.Parallel()
	var s figures.Series
	require.False(t, points(&s, start, 1)[0].Known)
	for i := range 2 * figures.Steps {
		at := start.Add(time.Duration(i) * figures.Step)
		s.Add(at, time.Second, float64(i), sumOf(uint64(i), 1, i%100))
		s.Add(at.Add(time.Second), time.Second, float64(i)+2, sumOf(10, 1, i%100))
	}
	end := start.Add(time.Duration(2*figures.Steps-1) * figures.Step)
	list := points(&s, end, figures.Steps)
	require.Len(t, list, figures.Steps)
	for i, p := range list {
		n := figures.Steps + i
		require.True(t, p.Known)
		require.InDelta(t, float64(n)+1, p.PerSecond, 1e-3, "the mean over time")
		require.EqualValues(t, n+10, p.Requests)
		require.EqualValues(t, 2, p.Errors)
		require.EqualValues(t, n+10, p.Latencies[n%100])
		require.EqualValues(t, n+10, p.Latencies.Total())
	}
	require.False(t, points(&s, end.Add(time.Minute), 1)[0].Known)
	require.Len(t, points(&s, end, 10_000), figures.Steps)
	require.Empty(t, points(&s, end, -1))
}

func TestASeriesKnowsNothingOfTheTimeThatWasLeftOut(t *testing.T) {
	t.Parallel()
	var s figures.Series
	s.Add(start, time.Second, 5, sumOf(5, 0, 3))
	s.Add(start.Add(time.Hour), time.Second, 7, sumOf(7, 0, 3))
	list := points(&s, start.Add(time.Hour), figures.Steps)
	require.True(t, list[figures.Steps-1].Known)
	for _, p := range list[:figures.Steps-1] {
		require.Equal(t, figures.Point{}, p)
	}
	s.Add(start, time.Second, 9, sumOf(9, 0, 3)) // the clock was set back
	require.InDelta(t, 7, points(&s, start.Add(time.Hour), 1)[0].PerSecond, 1e-9)
}

func TestTheHourHasTheMeanOfEachMinute(t *testing.T) {
	t.Parallel()
	var s figures.Series
	for i := range 6 {
		s.Add(start.Add(time.Duration(i)*figures.Step), time.Second, float64(i), sumOf(1, 0, 0))
	}
	hour := s.Hour(start.Add(3 * time.Minute))
	require.Len(t, hour, 60)
	require.NotNil(t, hour[56])
	require.InDelta(t, 2.5, *hour[56], 1e-9)
	for i, rate := range hour {
		require.Equal(t, i == 56, rate != nil)
	}
}

func TestAWindowHasTheLastSeconds(t *testing.T) {
	t.Parallel()
	var w figures.Window
	for i := range 60 {
		d, ok := counts(uint64(i+1), 0, nil).Since(counts(uint64(i), 0, nil), time.Second)
		require.True(t, ok)
		w.Add(start.Add(time.Duration(i)*time.Second), &d)
	}
	now := start.Add(59 * time.Second)
	require.EqualValues(t, 10, w.Sum(now, 10*time.Second).Requests)
	require.Zero(t, w.Sum(now.Add(20*time.Second), 10*time.Second).Requests)
	require.EqualValues(t, 12, w.Sum(now.Add(20*time.Second), time.Minute).Requests, "those that are kept")
}

func TestTheHistoryOfAnInstanceHasTheMeanRateAndTheLastLatencies(t *testing.T) {
	t.Parallel()
	var l figures.Light
	l.Add(start, figures.Reading{PerSecond: 1, ErrorPercent: math.NaN(), P50Ms: 1, P90Ms: 2, P99Ms: 3})
	l.Add(start.Add(time.Second), figures.Reading{PerSecond: math.NaN(), ErrorPercent: 1, P50Ms: 1, P90Ms: 2, P99Ms: 3})
	l.Add(start.Add(2*time.Second), figures.Reading{PerSecond: 3, ErrorPercent: 2, P50Ms: 4, P90Ms: 5, P99Ms: 6})
	l.Add(start.Add(-time.Minute), figures.Reading{}) // the clock was set back
	var got []figures.Reading
	l.Walk(start.Add(10*time.Second), 3, func(_ int, r figures.Reading) { got = append(got, r) })
	require.Len(t, got, 3)
	require.True(t, math.IsNaN(got[0].PerSecond) && math.IsNaN(got[0].P99Ms))
	require.Equal(t, figures.Reading{PerSecond: 2, ErrorPercent: 2, P50Ms: 4, P90Ms: 5, P99Ms: 6}, got[1])
	require.True(t, math.IsNaN(got[2].PerSecond))
}

func TestAGaugeKeepsTheGreatestOfEachMinute(t *testing.T) {
	t.Parallel()
	var g figures.Gauge
	for i, n := range []float64{1, 7, 2} {
		g.Set(start.Add(time.Duration(i)*time.Second), n)
	}
	g.Set(start.Add(2*time.Minute), 3)
	hour := g.Hour(start.Add(2 * time.Minute))
	require.Len(t, hour, figures.Minutes)
	require.InDelta(t, 7, *hour[57], 0)
	require.Nil(t, hour[58])
	require.InDelta(t, 3, *hour[59], 0)
	require.Nil(t, g.Hour(start.Add(2 * time.Hour))[59])
}
