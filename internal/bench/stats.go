package main

import (
	"cmp"
	"fmt"
	"slices"
)

// median of values; 0 of none.
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// medianOf is the median of one figure of all rounds.
func medianOf[R any, T cmp.Ordered](rounds []R, figure func(R) T) T {
	values := make([]T, len(rounds))
	for i, r := range rounds {
		values[i] = figure(r)
	}
	return median(values)
}

// spread is a list of one ratio per round.
type spread []float64

func (s spread) String() string {
	return fmt.Sprintf("%.2f (%.2f..%.2f)", median(s), slices.Min(s), slices.Max(s))
}
