package health

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucketsAscendAndCoverEverything(t *testing.T) {
	last := -1
	for _, latency := range []time.Duration{0, 31, 32, 1023, 1024, 1025, 1 << 20, 1<<40 - 1, 1 << 40, math.MaxInt64} {
		b := bucketOf(latency)
		require.GreaterOrEqual(t, b, last)
		require.Less(t, b, buckets)
		last = b
	}
	require.Equal(t, buckets-1, last)
	for b := range buckets {
		require.Equal(t, b, bucketOf(middle(b)))
		if b > 0 {
			require.Greater(t, middle(b), middle(b-1))
		}
	}
}

// off returns whether a percentile is within the documented bound of the truth.
func off(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) > max(16, float64(want)/64)
}

func TestTheMiddleOfABucketIsWithinTheBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		latency := time.Duration(rng.Uint64() >> (24 + rng.IntN(40)))
		if off(middle(bucketOf(latency)), latency) {
			t.Fatalf("%v is counted as %v", latency, middle(bucketOf(latency)))
		}
	}
}

// TestPercentilesAreWithinTheBound compares with the nearest rank of sorted
// values, for distributions of all kinds.
func TestPercentilesAreWithinTheBound(t *testing.T) {
	distributions := []func(*rand.Rand) time.Duration{
		func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 1e6) },
		func(r *rand.Rand) time.Duration { return time.Duration(math.Exp(r.NormFloat64()*3 + 14)) },
		func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(2000)) },
		func(r *rand.Rand) time.Duration {
			return 200*time.Microsecond + time.Duration(r.IntN(2))*20*time.Millisecond
		},
		func(*rand.Rand) time.Duration { return 123_456 },
	}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		values := make([]time.Duration, 1+rng.IntN(3000))
		var c counters
		for i := range values {
			values[i] = min(distributions[seed%5](rng), 1<<topBits-1)
			c[bucketOf(values[i])].Add(1)
		}
		slices.Sort(values)
		var h histogram
		h.add(&c)
		perMille := []uint64{1, 500, 900, 990, 1000}
		for i, got := range h.percentiles(uint64(len(values)), perMille...) {
			rank := (uint64(len(values))*perMille[i] + 999) / 1000
			want := values[max(rank, 1)-1]
			require.False(t, off(got, want), "%d of %d values: %v, want %v", perMille[i], len(values), got, want)
		}
	}
}
