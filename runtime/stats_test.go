package aegis

import (
	"testing"
	"time"
)

// What counting adds to each call, with all workers at one method.
func BenchmarkCountingACall(b *testing.B) {
	var s methodStats
	b.RunParallel(func(pb *testing.PB) {
		start := time.Now()
		for pb.Next() {
			s.done(time.Since(start), nil)
		}
	})
}
