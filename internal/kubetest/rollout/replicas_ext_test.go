package rollout_test

import (
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// awaitReplicas waits until all servers of NATS have all that the programs keep there, as AEGIS_REPLICAS
// of the overlay says. What one of them alone had would be away while that one restarts.
func (w *cluster) awaitReplicas() {
	js, err := jetstream.New(w.conn.NATS())
	require.NoError(w.t, err)
	w.until(w.ctx, func() bool { return w.replicated(js) && w.nats.Healthy() })
}

func (w *cluster) replicated(js jetstream.JetStream) bool {
	for info := range js.ListStreams(w.ctx).Info() {
		stream, err := js.Stream(w.ctx, info.Config.Name)
		if err != nil || !w.everywhere(stream.CachedInfo().Cluster) {
			return false
		}
		for consumer := range stream.ListConsumers(w.ctx).Info() {
			if consumer.Config.Replicas == 0 && !w.everywhere(consumer.Cluster) { // others are of those who watch
				return false
			}
		}
	}
	return true
}

// everywhere reports whether all servers keep a stream or a consumer, and none is behind.
func (w *cluster) everywhere(c *jetstream.ClusterInfo) bool {
	if c == nil || c.Leader == "" || len(c.Replicas) != len(w.nats.Servers)-1 {
		return false
	}
	for _, r := range c.Replicas {
		if !r.Current || r.Offline || r.Lag > 0 {
			return false
		}
	}
	return true
}
