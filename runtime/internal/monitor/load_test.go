package monitor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

func TestTheLatencyOfAHeartbeatIsThatSinceTheLastOne(t *testing.T) {
	t.Parallel()
	start := time.Now()
	recorder, err := health.NewRecorder(health.Config{}, start)
	require.NoError(t, err)
	var load Load
	ended := func(method string, took time.Duration, code health.Code) {
		recorder.Method(method).Begin()
		recorder.Method(method).End(start, took, code)
	}
	require.Equal(t, registry.Load{Capacity: 7}, load.Measure(recorder, 0, 7))
	ended("Get", time.Second, 0)
	ended("Do", 3*time.Second, 13)
	require.Equal(t, registry.Load{InFlight: 2, Latency: 2 * time.Second, Capacity: 7}, load.Measure(recorder, 2, 7))
	require.Equal(t, registry.Load{InFlight: 2, Capacity: 7}, load.Measure(recorder, 2, 7), "nothing has ended since")
	ended("Get", time.Millisecond, 0)
	require.Equal(t, time.Millisecond, load.Measure(recorder, 2, 7).Latency)
	recorder.Method("Work").Unrate()
	ended("Work", time.Hour, 0)
	ended("Get", 2*time.Millisecond, 0)
	require.Equal(t, 2*time.Millisecond, load.Measure(recorder, 2, 7).Latency, "commands do not count")
}
