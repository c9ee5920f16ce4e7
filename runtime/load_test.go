package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/registry"
)

func TestTheLatencyOfAHeartbeatIsThatSinceTheLastOne(t *testing.T) {
	t.Parallel()
	s := &service{spec: &spec.Service{Name: "s"}, max: 7, methods: []*serverMethod{{}, {}}}
	srv := &Server{services: []*service{{spec: &spec.Service{Name: "other"}}, s}}
	require.Equal(t, registry.Load{Capacity: 7}, srv.load("s"))
	s.methods[0].stats.done(time.Second, nil)
	s.methods[1].stats.done(3*time.Second, NewError(CodeInternal, ""))
	s.running.Add(2)
	require.Equal(t, registry.Load{InFlight: 2, Latency: 2 * time.Second, Capacity: 7}, srv.load("s"))
	require.Equal(t, registry.Load{InFlight: 2, Capacity: 7}, srv.load("s"), "nothing has ended since")
	s.methods[0].stats.done(time.Millisecond, nil)
	require.Equal(t, time.Millisecond, srv.load("s").Latency)
	require.Zero(t, srv.load("nobody's"))
}
