package instances_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// simulate registers instances of 100 services as servers do, and keeps their heartbeats
// coming until the benchmark ends.
func simulate(b *testing.B, url string, instances int) {
	b.Helper()
	nc, err := nats.Connect(url)
	require.NoError(b, err)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(512))
	require.NoError(b, err)
	kv, err := js.CreateKeyValue(b.Context(), jetstream.KeyValueConfig{Bucket: wire.RegistryBucket(wire.DefaultNamespace)})
	require.NoError(b, err)
	stream, err := js.Stream(b.Context(), "KV_"+kv.Bucket())
	require.NoError(b, err)
	created := stream.CachedInfo().Created.UnixNano()
	beats := make([]nats.Msg, instances)
	for i := range beats {
		r := &registry.Record{
			Service: fmt.Sprintf("scale.v1.Service%03d", i%100), Instance: fmt.Sprintf("host-%05d-ABCDEF", i),
			Process: fmt.Sprintf("%026d", i), Incarnation: uint64(1_700_000_000_000_000 + i), Change: 2, State: registry.Running,
			Version: "1.4.0", Started: time.Unix(1_700_000_000, 0), Heartbeat: 2 * time.Second,
		}
		data, err := r.Encode()
		require.NoError(b, err)
		_, err = js.PublishAsync("$KV."+kv.Bucket()+"."+wire.RegistryKey(r.Service, r.Instance), data)
		require.NoError(b, err)
		beats[i].Subject = wire.NewSubjects(wire.DefaultNamespace).Beat(r.Service, r.Instance)
		beats[i].Data, err = (&registry.Beat{Record: r, Bucket: created}).Encode()
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer nc.Close()
		ticker := time.NewTicker(20 * time.Millisecond) // a hundredth of them each time: each once in 2 s
		defer ticker.Stop()
		for i := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			for range instances / 100 {
				_ = nc.PublishMsg(&beats[i%instances])
				i++
			}
		}
	}()
	b.Cleanup(func() {
		cancel()
		<-done
	})
}

// BenchmarkLs measures the whole command, from its start to its end.
func BenchmarkLs(b *testing.B) {
	for _, instances := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%d instances", instances), func(b *testing.B) {
			n := aegistest.StartNATS(b)
			simulate(b, n.URL(), instances)
			for b.Loop() {
				r := clitest.Run(b, nil, "ls", "--server", n.URL())
				require.Equal(b, 0, r.Code, r.Err)
				require.Contains(b, r.Out, fmt.Sprintf("scale.v1.Service099  %d ", instances/100))
			}
		})
	}
}
