package load

import (
	"context"
	"testing"
	"time"
)

// BenchmarkCost is what the engine adds to a call: the time and the allocations of calls
// that do nothing, by one caller.
func BenchmarkCost(b *testing.B) {
	nothing := targetFunc(func(context.Context, int, int64) error { return nil })
	for name, shape := range map[string]Shape{"closed": nil, "open": Constant(1e12), "wave": Wave(1e12, 1e11, time.Second)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			rec := NewRecorder(classify, 0, 10*time.Millisecond)
			if _, err := Run(b.Context(), &Plan{Shape: shape, Callers: 1, Requests: int64(b.N)}, nothing, rec, Wall()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
