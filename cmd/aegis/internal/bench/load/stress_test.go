package load

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStressFindsTheHighestRateThatHolds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		capacity := math.Pow(10, 1+r.Float64()*4)
		s := Staircase{Start: 10, Factor: 1.2 + r.Float64(), Refine: 6}
		var tried []float64
		got := Stress(s, func(rate float64) (bool, bool) {
			tried = append(tried, rate)
			return rate <= capacity, true
		})
		require.LessOrEqual(t, got, capacity)
		require.InEpsilon(t, capacity, got, (s.Factor-1)/64+0.001)
		require.Less(t, len(tried), 70)
	}
}

func TestStressEndsAtItsHighestRateOrFromOutside(t *testing.T) {
	t.Parallel()
	held := func(float64) (bool, bool) { return true, true }
	require.InDelta(t, 95, Stress(Staircase{Start: 10, Factor: 2, Max: 95}, held), 0)
	require.InDelta(t, 80, Stress(Staircase{Start: 10, Factor: 2, Max: 80}, held), 0)
	require.Zero(t, Stress(Staircase{Start: 10, Factor: 2, Refine: 3}, func(float64) (bool, bool) { return false, true }))
	failed := false
	once := func(rate float64) (bool, bool) {
		if rate == 20 && !failed {
			failed = true
			return false, true
		}
		return true, true
	}
	require.InDelta(t, 80, Stress(Staircase{Start: 10, Factor: 2, Max: 80}, once), 0, "one failure is tried again")
	n := 0
	require.InDelta(t, 20, Stress(Staircase{Start: 10, Factor: 2}, func(float64) (bool, bool) { n++; return true, n < 3 }), 0)
}
