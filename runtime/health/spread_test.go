package health

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryLatencyIsInItsStep(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		latency := time.Duration(r.Int64N(1 << (1 + r.IntN(topBits))))
		step := Step(bucketOf(latency) >> merged)
		require.Less(t, latency, step.Bound(), "step %d", step)
		if step > 0 {
			require.GreaterOrEqual(t, latency, (step - 1).Bound(), "step %d", step)
		}
	}
	require.Equal(t, Step(steps-1), Step(bucketOf(1<<62)>>merged), "what takes longer is in the last step")
}

func TestPercentilesOfASpreadAreNearThoseOfTheRequests(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	start := time.Now()
	for _, n := range []int{1, 2, 3, 10, 1000} {
		recorder, err := NewRecorder(Config{}, start)
		require.NoError(t, err)
		m := recorder.Method("Get")
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Microsecond + time.Duration(r.Int64N(int64(100*time.Millisecond)))
			m.Begin()
			m.End(start, all[i], 0)
		}
		slices.Sort(all)
		spread := m.Spread()
		require.EqualValues(t, n, spread.Requests())
		for _, perMille := range []uint64{0, 1, 500, 900, 990, 1000} {
			exact := all[max((uint64(n)*perMille+999)/1000, 1)-1]
			require.InEpsilon(t, exact, spread.Percentile(perMille), 0.2, "%d of 1,000 of %d", perMille, n)
		}
	}
	require.Zero(t, Spread(nil).Percentile(500))
}

func TestSpreadIsThatOfAllRequestsSinceTheStart(t *testing.T) {
	t.Parallel()
	start := time.Now()
	recorder, err := NewRecorder(Config{}, start)
	require.NoError(t, err)
	m := recorder.Method("Get")
	require.Nil(t, m.Spread())
	for i := range 10 {
		m.Begin()
		m.End(start.Add(time.Duration(i)*time.Minute), time.Millisecond, 0)
	}
	require.EqualValues(t, 10, m.Spread().Requests(), "the window has one")
}

func TestSpreadTravelsInAReport(t *testing.T) {
	t.Parallel()
	r := Report{Spread: Spread{0: 1, 17: 1 << 60, steps - 1: 3}}
	for range 100 {
		r.Findings = append(r.Findings, Finding{Check: "db", Reason: strings.Repeat("x", MaxReason)})
	}
	data, err := r.Encode()
	require.NoError(t, err)
	require.Less(t, len(data), MaxReport+100)
	got, err := DecodeReport(data)
	require.NoError(t, err)
	require.Equal(t, r.Spread, got.Spread)
	require.NotEmpty(t, got.Findings)
	for _, wrong := range []string{`{"1":1}`, `[-1,1]`, `["a",1]`, `[1,-1]`, `[65536,1]`, `[124,1]`, `[1]`, `[1,1.5]`, `[1,2,3]`, `[[1,2]]`, `1`, `""`} {
		_, err := DecodeReport([]byte(`{"score":100,"spread":` + wrong + `}`))
		require.ErrorIs(t, err, ErrReport, wrong)
	}
}

func TestAbsurdCountsHaveAPercentile(t *testing.T) {
	t.Parallel()
	huge := Spread{3: math.MaxUint64, 9: 7}
	require.NotPanics(t, func() { huge.Percentile(990) })
	require.Greater(t, Spread{40: 1 << 63}.Percentile(990), time.Duration(0))
}
