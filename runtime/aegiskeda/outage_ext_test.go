package aegiskeda_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// poll asks a scaler again and again until it is stopped, and asserts that each answer is the
// value, or that it is not known.
func (c *caller) poll(t trigger, value float64) (stop func() (answers, unknown int)) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var polling sync.WaitGroup
	var answers, unknown int
	polling.Go(func() {
		for ctx.Err() == nil {
			v, err := c.value(t)
			switch {
			case err == nil:
				answers++
				assert.InDelta(c.t, value, v, 1e-9)
			case assert.Equal(c.t, connect.CodeUnavailable, connect.CodeOf(err), "%v", err):
				unknown++
			}
			if is, err := c.active(t); err == nil {
				assert.True(c.t, is)
			}
		}
	})
	stop = sync.OnceValues(func() (int, int) {
		cancel()
		polling.Wait()
		return answers, unknown
	})
	c.t.Cleanup(func() { stop() })
	return stop
}

// answers waits until a scaler answers.
func (c *caller) answers(t trigger) {
	c.t.Helper()
	require.EventuallyWithT(c.t, func(e *assert.CollectT) {
		_, err := c.value(t)
		require.NoError(e, err)
	}, 2*patience, tick)
}

// unknown waits until a scaler says that it does not know.
func (c *caller) unknown(t trigger) {
	c.t.Helper()
	require.EventuallyWithT(c.t, func(e *assert.CollectT) {
		_, err := c.value(t)
		require.Error(e, err)
		require.Equal(e, connect.CodeUnavailable, connect.CodeOf(err))
	}, patience, 5*time.Millisecond)
}

// A single server is away, and comes back with what it has.
func TestNothingIsUnknownAndZero(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := connected(t, n.URL())
	runOnce(t, conn)
	send(t, conn, 7)
	publish(t, conn, 3)
	c := serve(t, conn)
	c.becomes(work("waiting"), 7, true)
	told := c.watch(work("waiting"))
	require.True(t, receive(t, told))
	stopCommands, stopEvents := c.poll(work("waiting"), 7), c.poll(event("Stored", "store"), 1)
	for range 3 {
		n.Stop()
		c.unknown(work("waiting"))
		c.unknown(event("Stored", "store"))
		n.Start(t)
		c.answers(work("waiting"))
		c.answers(event("Stored", "store"))
	}
	answers, unknown := stopCommands()
	t.Logf("commands: %d answers, %d times unknown", answers, unknown)
	assert.Positive(t, answers)
	answers, unknown = stopEvents()
	t.Logf("events: %d answers, %d times unknown", answers, unknown)
	assert.Positive(t, answers)
	select {
	case is := <-told:
		t.Errorf("the stream has told %v, and nothing has changed", is)
	default:
	}
}

// The leader of the consumer is killed; then all servers restart.
func TestClusterNeverSaysZero(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 3} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			t.Parallel()
			cluster := aegistest.StartCluster(t, 3)
			conn := connected(t, cluster.URL())
			runOnce(t, conn, aegis.WithStorage(aegis.Storage{Replicas: replicas}))
			send(t, conn, 9)
			c := serve(t, conn)
			c.becomes(work("waiting"), 9, true)
			stop := c.poll(work("waiting"), 9)

			lead := consumerLeader(t, conn)
			for _, n := range cluster.Servers() {
				if n.Name() != lead {
					continue
				}
				n.Stop()
				if replicas == 3 {
					require.Eventually(t, func() bool { return consumerLeader(t, conn) != lead }, patience, tick)
					c.answers(work("waiting"))
				} else {
					c.unknown(work("waiting"))
				}
				n.Start(t)
			}
			c.answers(work("waiting"))
			for _, n := range cluster.Servers() {
				n.Stop()
			}
			c.unknown(work("waiting"))
			for _, n := range cluster.Servers() {
				n.Start(t)
			}
			c.answers(work("waiting"))
			answers, unknown := stop()
			t.Logf("%d answers, %d times unknown", answers, unknown)
		})
	}
}

// consumerLeader returns the name of the server that leads the consumer of the commands.
func consumerLeader(t *testing.T, conn *aegis.Conn) string {
	t.Helper()
	var consumer jetstream.Consumer
	require.Eventually(t, func() bool {
		var err error
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		consumer, err = conn.JetStream().Consumer(ctx, "aegis-commands-aegistest-v1-JobService", "w-Work-n")
		return err == nil && consumer.CachedInfo().Cluster != nil && consumer.CachedInfo().Cluster.Leader != ""
	}, patience, tick)
	return consumer.CachedInfo().Cluster.Leader
}
