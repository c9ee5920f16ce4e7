package aegistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestNATSComesBackWithItsPortAndItsStore(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	url := n.URL()
	_, err := conn.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	_, err = conn.JetStream().Publish(t.Context(), "s", []byte("kept"))
	require.NoError(t, err)
	n.Stop()
	n.Stop()
	eventually(t, "the outage is noticed", func() bool { return !conn.NATS().IsConnected() })
	require.Equal(t, url, n.URL())
	n.Start(t)
	n.Start(t)
	eventually(t, "the connection is back", conn.NATS().IsConnected)
	require.Equal(t, url, n.URL())
	s, err := conn.JetStream().Stream(t.Context(), "S")
	require.NoError(t, err)
	msg, err := s.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "kept", string(msg.Data))

	reconnects := conn.NATS().Stats().Reconnects
	n.Restart(t)
	eventually(t, "the connection is back", func() bool { return conn.NATS().Stats().Reconnects > reconnects })
	leader(t, aegistest.Start(t, n.Connect(t), orders(desk{}, lease))) // still the first one
}

func TestClusterLosesNothingWhenOneServerIsLost(t *testing.T) {
	t.Parallel()
	c := aegistest.StartCluster(t, 3)
	conn := c.Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	s, err := conn.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
	require.NoError(t, err)
	store := func(text string) {
		require.Eventually(t, func() bool {
			asking, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err := conn.JetStream().Publish(asking, "s", []byte(text))
			return err == nil
		}, 2*patience, 10*time.Millisecond, text)
	}
	store("before")
	info, err := s.Info(ctx)
	require.NoError(t, err)
	var lost *aegistest.NATS
	for _, n := range c.Servers() {
		if n.Name() == info.Cluster.Leader {
			lost = n
		}
	}
	require.NotNil(t, lost, info.Cluster.Leader)
	lost.Stop()
	store("without one")
	lost.Start(t)
	c.AwaitReady(t)
	info, err = s.Info(ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, info.State.Msgs, uint64(2))

	// A cluster is empty when it starts, as a single server is.
	leader(t, aegistest.Start(t, c.Connect(t), orders(desk{}, lease)))
}

func TestLinkIsPausedCutAndSlowed(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	link := n.Link(t)
	far, err := nats.Connect(link.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
	require.NoError(t, err)
	defer far.Close()
	near := n.Connect(t).NATS()
	sub, err := far.SubscribeSync("s")
	require.NoError(t, err)
	require.NoError(t, far.Flush())

	// The message waits in the link: it comes after one that was published later.
	link.Pause()
	require.NoError(t, near.Publish("s", []byte("paused")))
	require.NoError(t, near.Flush())
	_, err = sub.NextMsg(50 * time.Millisecond)
	require.ErrorIs(t, err, nats.ErrTimeout)
	require.True(t, far.IsConnected(), "nobody is told")
	link.Restore()
	msg, err := sub.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "paused", string(msg.Data))

	link.Cut()
	eventually(t, "the connection is lost", func() bool { return !far.IsConnected() })
	_, err = nats.Connect(link.URL())
	require.Error(t, err, "new connections are refused")
	require.False(t, far.IsConnected())
	link.Restore()
	eventually(t, "the connection is back", far.IsConnected)

	const latency = 20 * time.Millisecond
	link.Slow(latency)
	rtt, err := far.RTT()
	require.NoError(t, err)
	require.GreaterOrEqual(t, rtt, 2*latency) // a bound that no busy machine can break
	link.Slow(0)
	require.NoError(t, far.Flush())
}

// Many messages are under way at once: latency is no rate.
func TestSlowLinkCarriesManyMessagesAtOnce(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	link := n.Link(t)
	far, near := link.Connect(t).NATS(), n.Connect(t).NATS()
	sub, err := far.SubscribeSync("s")
	require.NoError(t, err)
	require.NoError(t, far.Flush())
	link.Slow(20 * time.Millisecond)
	for i := range 1000 {
		require.NoError(t, near.Publish("s", []byte{byte(i)}))
		require.NoError(t, near.Flush()) // each in a packet of its own
	}
	for i := range 1000 {
		msg, err := sub.NextMsg(patience)
		require.NoError(t, err)
		require.Equal(t, byte(i), msg.Data[0])
	}
}
