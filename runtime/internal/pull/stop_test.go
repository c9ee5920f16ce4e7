package pull

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
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
				NATS: nc, Send: nc.Publish,
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

func TestLimitsAreLearnedOnceAndOnlyDownwards(t *testing.T) {
	t.Parallel()
	var r request
	for _, c := range []struct {
		text  string
		batch int
		want  bool
	}{
		{"Exceeded MaxRequestBatch of 100", 100, true},
		{"Exceeded MaxRequestBatch of 100", 100, false},
		{"Exceeded MaxRequestBatch of 200", 100, false},
		{"Exceeded MaxRequestBatch of 7", 7, true},
		{"Exceeded MaxRequestBatch of 0", 7, false},
		{"Exceeded MaxRequestBatch of x", 7, false},
		{"Exceeded MaxRequestExpires of 1m30s", 7, true},
		{"Exceeded MaxRequestExpires of 90s", 7, false},
		{"Exceeded MaxRequestExpires of -1s", 7, false},
		{"Exceeded MaxWaiting", 7, true},
		{"Exceeded MaxWaiting", 7, false},
		{"Bad Request - Priority Group missing", 7, false},
	} {
		require.Equal(t, c.want, r.learn(c.text), c.text)
		require.Equal(t, c.batch, r.maxBatch, c.text)
	}
	require.Equal(t, 90*time.Second, r.maxExpires)
	require.True(t, r.alone)
	r.limit(Source{MaxBatch: 300})
	require.Equal(t, request{maxBatch: 300}, r, "a look may find more")
}

func TestRequestsFillTheRoomWithinTheirLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r                    request
		n, outstanding, want int
	}{
		{request{}, 1000, 0, 1000},
		{request{}, 10, 11, 0},
		{request{}, 0, 0, 0},
		{request{}, -5, 0, 0},
		{request{maxBatch: 100}, 1000, 0, 100},
		{request{maxBatch: 100}, 1000, 700, 100},
		{request{maxBatch: 100}, 1000, 701, 0},
		{request{maxBatch: 100}, 50, 0, 50},
		{request{alone: true}, 1000, 0, 1000},
		{request{alone: true}, 1000, 1, 0},
	} {
		require.Equal(t, c.want, c.r.next(c.n, c.outstanding), "%+v", c)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	t.Parallel()
	for failures := range 100 {
		d := backoff(failures)
		most := maxPause
		if failures < 8 {
			most = min(most, minPause<<max(failures-1, 0))
		}
		require.LessOrEqual(t, d, most)
		require.GreaterOrEqual(t, d, most/2)
	}
}

// While several reasons last, the first one is told, and that all is well only
// when none is left.
func TestTroublesEndTogether(t *testing.T) {
	t.Parallel()
	var told []string
	p := &Puller{o: Options{
		Problem: func(err error) { told = append(told, err.Error()) },
		Works:   func() { told = append(told, "works") },
	}}
	p.report(searching, nil)
	p.report(searching, nil)
	p.report(pulling, errors.New("pulling"))
	p.report(stalling, errors.New("stalling"))
	p.report(searching, errors.New("searching"))
	p.report(searching, nil)
	p.answered()
	p.answered()
	p.report(stalling, nil)
	require.Equal(t, []string{"works", "pulling", "pulling", "searching", "pulling", "stalling", "works"}, told)
}

func TestSignsOfLifeAreInTimeAlsoIfOneIsLate(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 30 * time.Second, time.Hour} {
		// The longest between two: the last look that was too early, and the next.
		require.LessOrEqual(t, max(wait/3, 2*renewal(wait)), wait/2+time.Millisecond, wait)
	}
}
