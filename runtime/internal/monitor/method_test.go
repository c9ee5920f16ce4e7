package monitor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/health"
)

// What counting adds to each call, with all workers at one method.
func BenchmarkCountingACall(b *testing.B) {
	r, err := health.NewRecorder(health.Config{}, time.Now())
	require.NoError(b, err)
	m := &Method{Health: r.Method("Get")}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			arrived := time.Now()
			m.Begin()
			m.Done(arrived, nil)
		}
	})
}
