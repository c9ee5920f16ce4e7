package health

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Spread counts requests by their latency, in steps of which four make a power of two: the
// counts of several instances may be added up, and those of an earlier moment be taken off,
// so that a monitor gets the percentiles of a whole service, or of one second. A step that
// nothing has fallen into is left out. The zero Spread is empty.
type Spread map[Step]uint64

// Step is a step of a [Spread], from 0 on.
type Step uint16

const (
	stepBits = 2                   // a power of two has 2^2 steps
	merged   = partBits - stepBits // log2 of how many buckets of a histogram are a step
	// steps is the number of steps.
	steps = buckets >> merged
)

// Bound returns the latency up to which a step reaches. The last one has no end.
func (s Step) Bound() time.Duration {
	if s >= steps-1 {
		return math.MaxInt64
	}
	return lowest(int(s+1) << merged)
}

// lowest returns the least latency of a bucket.
func lowest(bucket int) time.Duration {
	if bucket < parts {
		return time.Duration(bucket) << unitBits
	}
	power := bucket>>partBits - 1
	return time.Duration(uint64(bucket&(parts-1)|parts) << (power + unitBits))
}

// Spread returns how many requests of the method have ended since the start, by latency.
func (m *Method) Spread() Spread {
	var spread Spread
	for bucket, n := range m.window.allLatencies() {
		if n == 0 {
			continue
		}
		if spread == nil {
			spread = make(Spread)
		}
		spread[Step(bucket>>merged)] += n
	}
	return spread
}

// Requests returns how many requests a spread counts.
func (s Spread) Requests() (n uint64) {
	for _, count := range s {
		n += count
	}
	return n
}

// Percentile returns the latency that so many of 1,000 requests do not exceed, from within
// its step: it is off by at most a fifth. It is 0 if there are no requests.
func (s Spread) Percentile(perMille uint64) time.Duration {
	total := s.Requests()
	if total == 0 {
		return 0
	}
	rank := max(total/1000*perMille+(total%1000*perMille+999)/1000, 1)
	var sum uint64
	for step := range Step(steps) {
		count := s[step]
		if sum+count < rank {
			sum += count
			continue
		}
		from, to := lowest(int(step)<<merged), lowest(int(step+1)<<merged)
		return from + time.Duration(float64(to-from)*(float64(rank-sum)-0.5)/float64(count))
	}
	return 0 // not reached by counts of requests that were made: they add up to total
}

// MarshalJSON returns the steps and their counts as a flat list, such as [12,7,13,1]: monitors
// read thousands of them a second, for which an object would take several times as long.
func (s Spread) MarshalJSON() ([]byte, error) {
	data := []byte{'['}
	for _, step := range slices.Sorted(maps.Keys(s)) {
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = strconv.AppendUint(data, uint64(step), 10)
		data = append(data, ',')
		data = strconv.AppendUint(data, s[step], 10)
	}
	return append(data, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON returns. The error wraps [ErrReport].
func (s *Spread) UnmarshalJSON(data []byte) error {
	list, opened := bytes.CutPrefix(data, []byte{'['})
	list, closed := bytes.CutSuffix(list, []byte{']'})
	switch list = bytes.TrimSpace(list); {
	case string(data) == "null":
		return nil
	case !opened || !closed:
		return fmt.Errorf("%w: the latencies are no list", ErrReport)
	case len(list) == 0:
		*s = Spread{}
		return nil
	}
	read := make(Spread, bytes.Count(list, []byte{','})/2+1)
	for len(list) > 0 {
		var step, count []byte
		var paired bool
		step, list, paired = bytes.Cut(list, []byte{','})
		count, list, _ = bytes.Cut(list, []byte{','})
		at, err := strconv.ParseUint(string(bytes.TrimSpace(step)), 10, 16)
		n, countErr := strconv.ParseUint(string(bytes.TrimSpace(count)), 10, 64)
		if err := errors.Join(err, countErr); err != nil || !paired {
			return fmt.Errorf("%w: the latencies are no pairs of a step and a count: %w", ErrReport, err)
		}
		read[Step(at)] = n
	}
	if err := read.check(); err != nil {
		return err
	}
	*s = read
	return nil
}

func (s Spread) check() error {
	for step := range s {
		if step >= steps {
			return fmt.Errorf("%w: a latency in step %d of %d", ErrReport, step, steps)
		}
	}
	return nil
}
