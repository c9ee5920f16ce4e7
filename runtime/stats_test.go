package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/health"
)

func newMethodStats(t testing.TB) *methodStats {
	t.Helper()
	r, err := health.NewRecorder(health.Config{}, time.Now())
	require.NoError(t, err)
	return &methodStats{health: r.Method("Get")}
}

// What counting adds to each call, with all workers at one method.
func BenchmarkCountingACall(b *testing.B) {
	s := newMethodStats(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			arrived := time.Now()
			s.begin()
			s.done(arrived, nil)
		}
	})
}
