package pull

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/link"
)

const patience = 15 * time.Second

// startNATS starts a NATS server with a consumer c that has one message.
func startNATS(t *testing.T) (*embednats.Server, *nats.Conn, Source) {
	t.Helper()
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"x"}})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), "s", jetstream.ConsumerConfig{Name: "c", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "x", []byte("x"))
	require.NoError(t, err)
	return s, nc, Source{Name: "the consumer c", Subject: "$JS.API.CONSUMER.MSG.NEXT.s.c", AckWait: time.Minute}
}

// A server that stops relies on it that nothing is delivered any more, and that
// what was delivered is in its hands.
func TestStopWaitsForWhatIsBeingDelivered(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]bool{"connected": false, "disconnected": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, nc, source := startNATS(t)
			begun := make(chan struct{})
			var delivered atomic.Bool
			var puller atomic.Pointer[Puller]
			p, err := Start(Options{
				NATS: nc, Link: link.New(nc), Denials: denials.New(nc, false), Send: nc.Publish,
				Open: func(context.Context) (Source, error) { return source, nil },
				Deliver: func(*Message) {
					close(begun)
					p := puller.Load()
					for stopping := false; !stopping; time.Sleep(time.Millisecond) {
						p.mu.Lock()
						stopping = p.stopping
						p.mu.Unlock()
					}
					time.Sleep(50 * time.Millisecond) // if Stop does not wait, it returns by now
					delivered.Store(true)
				},
				Problem: func(error) {}, Works: func() {},
			})
			require.NoError(t, err)
			defer p.Close()
			puller.Store(p)
			p.SetWindow(5)
			receive(t, begun)
			if lose {
				server.Stop()
				for deadline := time.Now().Add(patience); nc.IsConnected(); time.Sleep(time.Millisecond) {
					require.True(t, time.Now().Before(deadline))
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			p.Stop(ctx)
			require.True(t, delivered.Load())
		})
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
