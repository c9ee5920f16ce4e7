package link_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/leaktest"
	"github.com/aegisrpc/aegis/runtime/internal/link"
)

const patience = 15 * time.Second

func TestMain(m *testing.M) { leaktest.Run(m) }

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, time.Millisecond, what)
}

// fixture is a connection that NATS can cut.
type fixture struct {
	t  *testing.T
	s  *embednats.Server
	nc *nats.Conn
}

func start(t *testing.T) *fixture {
	t.Helper()
	s, err := embednats.Start(embednats.Options{})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return &fixture{t, s, nc}
}

// cut cuts the connection, and returns when it is up again.
func (f *fixture) cut() {
	f.t.Helper()
	before := f.nc.Stats().Reconnects
	id, err := f.nc.GetClientID()
	require.NoError(f.t, err)
	require.NoError(f.t, f.s.DisconnectClientByID(id))
	eventually(f.t, "it is back", func() bool { return f.nc.Stats().Reconnects > before && f.nc.IsConnected() })
}

// watch watches a link until the test ends, and returns what it was told.
func watch(t *testing.T, l *link.Link) (states func() []link.State) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	var mu sync.Mutex
	var told []link.State
	watching.Go(func() {
		l.Watch(ctx, func(s link.State) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		})
	})
	t.Cleanup(func() { cancel(); watching.Wait() })
	return func() []link.State {
		mu.Lock()
		defer mu.Unlock()
		return append([]link.State(nil), told...)
	}
}

func TestEachOutageIsCountedAndTold(t *testing.T) {
	t.Parallel()
	f := start(t)
	l := link.New(f.nc)
	states := watch(t, l)
	require.True(t, l.Up())
	for n := uint64(1); n <= 5; n++ {
		before := l.State()
		f.cut()
		eventually(t, "the outage is counted", func() bool { return l.Up() && l.Returns() == n })
		select {
		case <-before.Changed():
		case <-time.After(patience):
			t.Fatal("who waits for a change is not woken")
		}
	}
	eventually(t, "all are told", func() bool {
		told := states()
		return len(told) > 0 && told[len(told)-1].Up && told[len(told)-1].Returns == 5
	})
	for i, s := range states() {
		require.Equal(t, i%2 == 1, s.Up, "down and up again, each time")
	}
}

// nats.go drops events that nobody takes in time. All that happened meanwhile shows
// as one outage.
func TestOutagesWithoutEventsAreCounted(t *testing.T) {
	t.Parallel()
	f := start(t)
	l := link.New(f.nc)
	before := l.State()
	for range 12 {
		f.cut()
	}
	states := watch(t, l)
	eventually(t, "they are counted", func() bool { return l.Up() && l.Returns() > before.Returns && len(states()) > 0 })
	require.NotZero(t, states()[0].Returns)
	<-before.Changed()
}

// That somebody was in doubt is no outage.
func TestDoubtAloneIsNoReturn(t *testing.T) {
	t.Parallel()
	f := start(t)
	l := link.New(f.nc)
	watch(t, l)
	for range 100 {
		l.Doubt()
		require.True(t, l.Wait(t.Context(), time.Now().Add(patience)))
	}
	require.Zero(t, l.Returns())
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	f := start(t)
	l := link.New(f.nc)
	l.Pretend(false)
	require.False(t, l.Wait(t.Context(), time.Now()), "at the deadline")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, l.Wait(ctx, time.Now().Add(patience)), "with its context")
	watch(t, l)
	require.True(t, l.Wait(t.Context(), time.Now().Add(patience)), "when it is up")
	l.Doubt()
	f.nc.Close()
	require.False(t, l.Wait(t.Context(), time.Now().Add(patience)), "when it is closed for good")
	eventually(t, "it is closed", l.Closed)
}
