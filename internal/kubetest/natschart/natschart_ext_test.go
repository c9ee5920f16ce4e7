package natschart_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/kubetest/natschart"
	"github.com/aegisrpc/aegis/internal/leaktest"
)

const deadline = 30 * time.Second

func TestMain(m *testing.M) { leaktest.Run(m) }

func start(t *testing.T) *natschart.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadline)
	defer cancel()
	c, err := natschart.Start(ctx, natschart.Options{
		Values: "../../../deploy/kubernetes/nats", Dir: t.TempDir(), LameDuckGrace: 500 * time.Millisecond,
		Probes: natschart.Probes{Period: 50 * time.Millisecond},
	})
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	return c
}

func connect(t *testing.T, c *natschart.Cluster, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	secret := c.Secrets["nats-"+user]
	opts = append(opts, nats.RootCAs(c.CA()), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.UserInfo(string(secret["username"]), string(secret["password"])), nats.Timeout(deadline))
	nc, err := nats.Connect("nats://"+c.Address(), opts...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestServersAreThoseOfTheChart(t *testing.T) {
	t.Parallel()
	c := start(t)
	servers := map[string]bool{}
	for range 3 * len(c.Servers) {
		nc := connect(t, c, "order")
		require.True(t, nc.TLSRequired())
		require.Empty(t, nc.DiscoveredServers(), "only the Service is known")
		servers[nc.ConnectedServerName()] = true
	}
	require.Equal(t, map[string]bool{"nats-0": true, "nats-1": true, "nats-2": true}, servers)
	_, err := nats.Connect("nats://"+c.Address(), nats.RootCAs(c.CA()), nats.UserInfo("order", "wrong"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	reply, err := connect(t, c, "admin").Request("$SYS.REQ.SERVER.PING.JSZ", nil, deadline)
	require.NoError(t, err)
	require.Contains(t, string(reply.Data), `"sync_always":true`)
}

func TestServerIsReplacedAsAPod(t *testing.T) {
	t.Parallel()
	c := start(t)
	last := c.Servers[2]
	var moved *nats.Conn
	lameDuck := make(chan struct{})
	for moved == nil || moved.ConnectedServerName() != last.Name {
		moved = connect(t, c, "order", nats.LameDuckModeHandler(func(nc *nats.Conn) {
			close(lameDuck)
		}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*deadline)
	defer cancel()
	done := make(chan error)
	go func() {
		r, err := last.Replace(ctx)
		t.Log(r)
		if r.Killed {
			t.Error("it was killed")
		}
		done <- err
	}()
	<-lameDuck
	for range 2 * len(c.Servers) {
		require.NotEqual(t, last.Name, connect(t, c, "order").ConnectedServerName(), "it ends, and gets a connection")
	}
	require.NoError(t, <-done)
	require.NotEqual(t, last.Name, moved.ConnectedServerName())
	require.Eventually(t, func() bool { return connect(t, c, "order").ConnectedServerName() == last.Name }, deadline, time.Millisecond)
}
