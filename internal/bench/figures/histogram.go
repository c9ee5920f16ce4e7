package figures

import (
	"math/bits"
	"time"
)

const (
	bucketBits = 6 // 64 buckets for each power of two: exact to 1.6 %
	buckets    = (40 - bucketBits) << bucketBits
)

// Histogram counts durations, up to some minutes, without allocating.
type Histogram struct {
	counts [buckets]uint32
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) { h.counts[bucket(d)]++ }

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-bucketBits-1, 0)
	return min(shift<<bucketBits+int(v>>shift), buckets-1)
}

// lowest is the smallest duration in a bucket.
func lowest(i int) time.Duration {
	if i < 2<<bucketBits {
		return time.Duration(i)
	}
	shift := i>>bucketBits - 1
	return time.Duration(i-shift<<bucketBits) << shift
}

// Add counts everything that another histogram has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// Count returns how many durations were counted.
func (h *Histogram) Count() int {
	total := 0
	for _, n := range h.counts {
		total += int(n)
	}
	return total
}

// Quantile returns the duration that this share of the durations does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int(q * float64(h.Count()))
	for i, n := range h.counts {
		if rank -= int(n); rank < 0 {
			return lowest(i)
		}
	}
	return 0
}
