package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	deadline  = 30 * time.Second
	rollingIn = 6 * time.Minute
	instances = 6
)

// The tests of this package run one after the other, as they would spoil each other's figures.

func TestRollingRestartLosesNothing(t *testing.T) { //nolint:paralleltest // see above
	w := newCluster(t)
	w.roll(w.ctx)
	w.judge(0)
}

func TestNodeDrainLosesNothing(t *testing.T) { //nolint:paralleltest // see above
	w := newCluster(t)
	node := w.first(w.pods).node // that of the leader, so that it hands over
	require.Equal(t, 1, w.drain(w.ctx, node), "instances of a node that stop at once")
	_, moves := w.load.gaps()
	require.Positive(t, moves, "the leader has not moved")
	w.judge(0)
}

func TestNATSUpgradeLosesNothing(t *testing.T) { //nolint:paralleltest // see above
	w := newCluster(t)
	replaced, err := w.nats.Upgrade(w.ctx)
	for _, r := range replaced {
		t.Log(r)
		require.False(t, r.Killed, "a server of NATS did not end within its grace period")
	}
	require.NoError(t, err)
	// A server of NATS that ends takes along what it has not yet passed on to an instance, or what an
	// instance had only just sent it. Nobody is told, so that those calls end at their deadline: a handful,
	// and at most what is under way at those moments, some hundred of ten thousand.
	w.judge(10)
}
