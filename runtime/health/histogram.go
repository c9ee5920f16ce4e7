package health

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets are those of HDR histograms (Tene: HdrHistogram): latencies in units of
// 32 ns, each power of two of these units in 32 equal parts.
//
// A library would bring counters that are not safe for concurrent use, three to sixteen
// times the memory, and a dependency of every service.
const (
	unitBits = 5  // a unit is 2^5 ns
	partBits = 5  // 2^5 parts of a power of two
	topBits  = 40 // latencies from 2^40 ns (18 min) on count as just under that
	parts    = 1 << partBits
	buckets  = (topBits - unitBits - partBits + 1) * parts
)

// counters is a histogram whose buckets are counted concurrently.
type counters [buckets]atomic.Uint32

// histogram is a sum of counters.
//
// Its percentiles are of the nearest-rank kind and off by at most 1/64 (1.6 %)
// from 1 µs to 18 min, by at most 16 ns below; above, only the maximum is known.
type histogram [buckets]uint64

// bucketOf returns the bucket of a latency, which must not be negative.
func bucketOf(latency time.Duration) int {
	units := uint64(min(latency, 1<<topBits-1)) >> unitBits
	if units < parts {
		return int(units)
	}
	power := bits.Len64(units) - partBits - 1 // units>>power has partBits+1 bits
	return power<<partBits + int(units>>power)
}

// middle returns the latency in the middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket < parts {
		return time.Duration(bucket)<<unitBits + 1<<(unitBits-1)
	}
	power := bucket>>partBits - 1
	low := uint64(bucket&(parts-1)|parts) << power
	return time.Duration(low<<unitBits + 1<<(power+unitBits-1))
}

func (h *histogram) add(c *counters) {
	for i := range c {
		h[i] += uint64(c[i].Load())
	}
}

// percentiles returns the latency at each of perMille, which must ascend.
func (h *histogram) percentiles(total uint64, perMille ...uint64) []time.Duration {
	found := make([]time.Duration, len(perMille))
	var sum uint64
	next := 0
	for i := range h {
		sum += h[i]
		for next < len(perMille) && sum > 0 && sum*1000 >= total*perMille[next] {
			found[next] = middle(i)
			next++
		}
	}
	return found
}
