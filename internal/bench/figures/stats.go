// Package figures has what a benchmark does with what it measured: medians, spreads
// and quantiles, tables, and targets that figures have to reach.
package figures

import (
	"cmp"
	"fmt"
	"slices"
)

// Median of values; 0 of none.
func Median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Spread is a list of one ratio per round.
type Spread []float64

func (s Spread) String() string {
	return fmt.Sprintf("%.2f (%.2f..%.2f)", Median(s), slices.Min(s), slices.Max(s))
}
