package book

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const followDeadline = 30 * time.Second

// follows has a replica follow the stream while a test runs.
func follows(t *testing.T, service *Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		service.Follow(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// newService returns a service of its own process.
func newService(js jetstream.JetStream) *Service {
	s := &Service{}
	s.replica.Store(newReplica(js, 0))
	return s
}

func TestNextLeaderHasTheBookAlready(t *testing.T) {
	js := newJetStream(t)
	old := begin(t, js, 4)
	standby := newService(js)
	follows(t, standby)
	for n := range 20 {
		place(t, old, strconv.Itoa(n))
	}
	require.Eventually(t, func() bool { return standby.replica.Load().known().at == 21 }, followDeadline, time.Millisecond)

	var read atomic.Int64
	sub, err := js.Conn().Subscribe("$JS.API.CONSUMER.CREATE.>", func(*nats.Msg) { read.Add(1) })
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush())
	l, err := standby.replica.Load().begin(t.Context(), 5)
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush())
	require.Zero(t, read.Load(), "nothing is read while callers wait")
	require.NoError(t, sub.Unsubscribe())
	has := contents(t, l)
	require.Equal(t, contents(t, begin(t, js, 6)), has, "as the stream has it")
}

func TestLeaderWhoFollowsNoticesTheNextOne(t *testing.T) {
	js := newJetStream(t)
	service := newService(js)
	follows(t, service)
	old, err := service.replica.Load().begin(t.Context(), 4)
	require.NoError(t, err)
	place(t, old, "a")
	begin(t, js, 5)
	require.Eventually(t, func() bool { return old.lasts() != nil }, followDeadline, time.Millisecond)
	_, err = old.place(t.Context(), request("b"), anything)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), err)
	stream, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.EqualValues(t, 3, stream.CachedInfo().State.LastSeq, "it has written nothing more")
}

// What the copy gets while an order is on its way must not become the message that the order
// is written over.
func TestOrderIsWrittenOverWhatItsLeaderHadLookedAt(t *testing.T) {
	js := newJetStream(t)
	old := begin(t, js, 4)
	_, err := old.place(t.Context(), request("stale"), func(*orderv1.PlaceOrderRequest) error {
		place(t, begin(t, js, 5), "b")
		return old.catchUp(t.Context())
	})
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), err)
	require.Equal(t, []string{"1 b in 5"}, contents(t, begin(t, js, 6)))
}

func TestCopyOfAnotherStreamIsNotUsed(t *testing.T) {
	for name, orders := range map[string]int{"Shorter": 1, "Longer": 9} {
		t.Run(name, func(t *testing.T) {
			js := newJetStream(t)
			known := begin(t, js, 4)
			for n := range 5 {
				place(t, known, strconv.Itoa(n))
			}
			makeAnew(t, js)
			restored := begin(t, js, 2)
			for n := range orders {
				place(t, restored, strconv.Itoa(n))
			}
			_, err := known.begin(t.Context(), 5)
			require.ErrorIs(t, err, errOther)
		})
	}
}

func TestOnLeadingReadsTheBookAnewFromAnotherStream(t *testing.T) {
	conn := aegistest.Connect(t)
	service, err := NewService(conn, Config{})
	require.NoError(t, err)
	js := service.replica.Load().js
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, service.OnLeading(ctx, aegis.Term{Token: 4}))
	place(t, service.current.Load(), "lost")
	makeAnew(t, js)
	place(t, begin(t, js, 2), "kept")
	require.NoError(t, service.OnLeading(ctx, aegis.Term{Token: 5}))
	require.Equal(t, []string{"1 kept in 2"}, contents(t, service.current.Load()))
}

func TestFollowerComesBackToAStreamThatItCouldNotRead(t *testing.T) {
	js := newJetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{subjectBook}})
	require.NoError(t, err)
	service := newService(js)
	_, err = service.replica.Load().find(t.Context(), "a")
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), err)
	follows(t, service)
	require.NoError(t, js.DeleteStream(t.Context(), streamName))
	require.Eventually(t, func() bool {
		l, err := newReplica(js, 0).begin(t.Context(), 4)
		if err == nil {
			place(t, l, "a")
		}
		return err == nil
	}, followDeadline, 10*time.Millisecond)
	require.Eventually(t, func() bool { return service.replica.Load().book.find("a") != nil }, followDeadline, time.Millisecond)
}
