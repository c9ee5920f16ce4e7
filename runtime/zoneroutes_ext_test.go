package aegis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// zoneServers are NATS servers in two zones, two in each, all connected with each other. The
// first letter of a server's name is its zone.
type zoneServers []*embednats.Server

func startZones(t *testing.T) zoneServers {
	t.Helper()
	names := []string{"a1", "a2", "b1", "b2"}
	options, err := embednats.Cluster("zones", "", names...)
	require.NoError(t, err)
	var all zoneServers
	for _, o := range options {
		s, err := embednats.Start(o)
		require.NoError(t, err)
		t.Cleanup(s.Stop)
		all = append(all, s)
	}
	for _, s := range all {
		eventually(t, s.Name()+" knows the others", func() bool { return s.NumRoutes() > 0 && len(all.remotes(t, s)) == len(names)-1 })
	}
	return all
}

// remotes returns how many bytes a server has sent to each other one.
func (z zoneServers) remotes(t *testing.T, s *embednats.Server) map[string]int64 {
	t.Helper()
	routez, err := s.Routez(&server.RoutezOptions{})
	require.NoError(t, err)
	sent := map[string]int64{}
	for _, r := range routez.Routes {
		sent[r.RemoteName] += r.OutBytes
	}
	return sent
}

// crossed returns how many bytes have gone from one zone to the other, as NATS counts them.
func (z zoneServers) crossed(t *testing.T) int64 {
	t.Helper()
	var sum int64
	for _, s := range z {
		for remote, bytes := range z.remotes(t, s) {
			if remote[0] != s.Name()[0] {
				sum += bytes
			}
		}
	}
	return sum
}

// load makes calls of 1 KB from each caller, and returns which share of their bytes has
// crossed from one zone to the other, and the zones that have answered each zone's calls.
func (z zoneServers) load(t *testing.T, callers []*aegis.Conn, calls int, do func(conn *aegis.Conn) doCall) float64 {
	t.Helper()
	moved := func() (bytes uint64) {
		for _, c := range callers {
			stats := c.NATS().Stats()
			bytes += stats.InBytes + stats.OutBytes
		}
		return bytes
	}
	crossed, all := z.crossed(t), moved()
	var calling sync.WaitGroup
	for _, conn := range callers {
		call := do(conn)
		for range 4 {
			calling.Go(func() {
				for range calls / 4 {
					if _, err := untilHeard(t, call); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	calling.Wait()
	return float64(z.crossed(t)-crossed) / float64(moved()-all)
}

// NATS's own queue groups send half of the calls to the other zone (nats-server, issue 8072).
func TestCallsStayInTheZoneByTheBytesOfTheRoutes(t *testing.T) {
	t.Parallel()
	zones := startZones(t)
	var callers []*aegis.Conn
	var states []string
	for _, s := range zones {
		zone := s.Name()[:1]
		for _, n := range []string{"x", "y"} {
			name := s.Name() + n
			serve(t, connectTo(t, s.ClientURL(), aegis.WithZone(zone)), probe{}, aegis.WithInstance(name))
			states = append(states, name+" RUNNING")
		}
		callers = append(callers, connectTo(t, s.ClientURL(), aegis.WithZone(zone)))
	}
	for _, c := range callers {
		shows(t, c, probeName, states...)
	}
	by := func(opt aegis.CallOption) func(*aegis.Conn) doCall {
		return func(conn *aegis.Conn) doCall { return doSized(newClient(t, conn, opt), 1024) }
	}
	const calls = 800
	leastLoaded := zones.load(t, callers, calls, by(aegis.LeastLoaded()))
	preferZone := zones.load(t, callers, calls, by(aegis.PreferZone()))
	t.Logf("of the bytes of the calls crossed the zones: LeastLoaded %.1f %%, PreferZone %.2f %%", 100*leastLoaded, 100*preferZone)
	require.Greater(t, leastLoaded, 0.3)
	require.Less(t, preferZone, 0.01)
}

// When a zone has no instance any more, its callers use the other one at once.
func TestCallsSpillOverWhenAZoneIsLost(t *testing.T) {
	t.Parallel()
	zones := startZones(t)
	serve(t, connectTo(t, zones[2].ClientURL(), aegis.WithZone("b")), probe{}, aegis.WithInstance("b"))
	srv, err := aegis.NewServer(connectTo(t, zones[1].ClientURL(), aegis.WithZone("a")), aegis.WithInstance("a"))
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
	a := runServer(t, srv)
	caller := connectTo(t, zones[0].ClientURL(), aegis.WithZone("a"))
	shows(t, caller, probeName, "a RUNNING", "b RUNNING")
	client := newClient(t, caller, aegis.PreferZone())
	var slowest time.Duration
	for i := range 200 {
		if i == 100 {
			a.end(t)
		}
		begun := time.Now()
		res, err := client.Do(t.Context(), doRequest(""))
		require.NoError(t, err)
		slowest = max(slowest, time.Since(begun))
		require.Equal(t, map[bool]string{true: "a", false: "b"}[i < 100], res.GetInstanceName())
	}
	t.Logf("the slowest call took %v", slowest)
}

// doSized makes calls with as many bytes, which come back.
func doSized(client aegistestv1aegis.ProbeServiceClient, size int) doCall {
	req := &testv1.DoRequest{Data: make([]byte, size)}
	return func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) { return client.Do(ctx, req) }
}
