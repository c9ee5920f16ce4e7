package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

func TestTheLatencyOfAHeartbeatIsThatSinceTheLastOne(t *testing.T) {
	t.Parallel()
	start := time.Now()
	recorder, err := health.NewRecorder(health.Config{}, start)
	require.NoError(t, err)
	s := &service{spec: &spec.Service{Name: "s"}, max: 7, recorder: recorder}
	srv := &Server{roster: roster{services: []*service{{spec: &spec.Service{Name: "other"}}, s}}}
	ended := func(method string, took time.Duration, code health.Code) {
		recorder.Method(method).Begin()
		recorder.Method(method).End(start, took, code)
	}
	require.Equal(t, registry.Load{Capacity: 7}, srv.load("s"))
	ended("Get", time.Second, 0)
	ended("Do", 3*time.Second, 13)
	s.running.Add(2)
	require.Equal(t, registry.Load{InFlight: 2, Latency: 2 * time.Second, Capacity: 7}, srv.load("s"))
	require.Equal(t, registry.Load{InFlight: 2, Capacity: 7}, srv.load("s"), "nothing has ended since")
	ended("Get", time.Millisecond, 0)
	require.Equal(t, time.Millisecond, srv.load("s").Latency)
	require.Zero(t, srv.load("nobody's"))
}
