package aegis_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestDurableEventsWaitForTheirSubscribers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	for i := range 3 {
		ack := mustStore(t, pub, strconv.Itoa(i))
		require.Equal(t, aegis.PubAck{Stream: eventStream, Sequence: uint64(i + 1)}, *ack)
	}
	var d diary
	s := subscriber(t, conn, handlers{Stored: d.stored}, nil, aegis.StartFrom(aegis.StartAll()))
	d.becomes(t, "0", "1", "2")
	settled(t, conn, "g-store-Stored")
	s.end(t)
	mustStore(t, pub, "3")
	subscribe(t, conn, handlers{Stored: d.stored}, nil, aegis.StartFrom(aegis.StartAll()))
	d.becomes(t, "0", "1", "2", "3")
}

func TestMessageIDStoresAnEventOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	first := mustStore(t, pub, "a", aegis.MessageID("1"))
	second := mustStore(t, pub, "a", aegis.MessageID("1"))
	require.False(t, first.Duplicate)
	require.Equal(t, aegis.PubAck{Stream: eventStream, Sequence: first.Sequence, Duplicate: true}, *second)
	// The ids of another event are others.
	ack, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{}, aegis.MessageID("1"))
	require.NoError(t, err)
	require.False(t, ack.Duplicate)
	future, err := pub.StoredAsync(t.Context(), stored("a"), aegis.MessageID("1"))
	require.NoError(t, err)
	ack, err = future.Ack(t.Context())
	require.NoError(t, err)
	require.True(t, ack.Duplicate)
}

func TestDurableEventsGoToOneOfAGroupAndToEachInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var group, each diary
	for range 2 {
		subscribe(t, conn, handlers{Stored: group.stored}, nil)
		subscribe(t, conn, handlers{Stored: each.stored}, nil, aegis.EachInstance())
	}
	pub := newPublisher(t, conn)
	for range 50 {
		mustStore(t, pub, "x")
	}
	eventually(t, "all have their copies", func() bool { return group.count("x") == 50 && each.count("x") == 100 })
	settled(t, conn, "g-store-Stored")
	require.Equal(t, 50, group.count("x"))
}

func TestStartPositions(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	var then time.Time
	for i := range 4 {
		ack := mustStore(t, pub, strconv.Itoa(i))
		if i == 2 {
			stream, err := jetStream(t, conn).Stream(t.Context(), eventStream)
			require.NoError(t, err)
			msg, err := stream.GetMsg(t.Context(), ack.Sequence)
			require.NoError(t, err)
			then = msg.Time
		}
	}
	diaries := map[string]*diary{}
	for name, start := range map[string]aegis.Position{
		"all": aegis.StartAll(), "sequence": aegis.StartSequence(4), "time": aegis.StartTime(then), "new": aegis.StartNew(),
	} {
		diaries[name] = &diary{}
		subscribe(t, conn, handlers{Stored: diaries[name].stored}, nil, aegis.Compete(name), aegis.StartFrom(start))
	}
	mustStore(t, pub, "last")
	diaries["all"].becomes(t, "0", "1", "2", "3", "last")
	diaries["sequence"].becomes(t, "3", "last")
	diaries["time"].becomes(t, "2", "3", "last")
	diaries["new"].becomes(t, "last")
}

func TestFailedEventsAreDeliveredAgainAndInTheEndDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	subscribe(t, conn, handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		call, _ := aegis.CallFromContext(ctx)
		delivery, ok := aegis.DeliveryFromContext(ctx)
		require.True(t, ok)
		require.Equal(t, call.Attempt(), delivery.Attempt)
		require.WithinDuration(t, time.Now(), delivery.Time, time.Minute)
		d.notef("%s %d %d", ev.GetText(), delivery.Sequence, delivery.Attempt)
		switch ev.GetText() {
		case "recovers":
			if delivery.Attempt == 2 {
				return nil
			}
			return errWrong
		case "panics":
			panic("oops")
		case "permanent":
			return fmt.Errorf("wrapped: %w", aegis.Permanent(errWrong))
		case "fails":
			return errWrong
		}
		return nil
	}}, nil, aegis.StartFrom(aegis.StartAll()))
	pub := newPublisher(t, conn)
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	for _, text := range []string{"recovers", "panics", "permanent", "fails", "fine"} {
		_, err := pub.Stored(ctx, stored(text))
		require.NoError(t, err)
	}
	_, err := jetStream(t, conn).Publish(t.Context(), "aegis.log.aegistest.v1.EventService.Stored.0", []byte{0xff})
	require.NoError(t, err)
	settled(t, conn, "g-store-Stored")
	for text, n := range map[string]int{
		"recovers 1 1": 1, "recovers 1 2": 1, "recovers 1 3": 0, "panics 2 3": 1, "panics 2 4": 0,
		"permanent 3 1": 1, "permanent 3 2": 0, "fails 4 3": 1, "fails 4 4": 0, "fine 5 1": 1,
	} {
		require.Equal(t, n, d.count(text), text)
	}
	dead := map[uint64]*aegis.DeadLetter{}
	for _, l := range deadLetters(t, conn, "aegistest.v1.EventService") {
		dead[l.Origin] = l
	}
	require.Len(t, dead, 4)
	require.Equal(t, 3, dead[2].Attempts)
	require.Contains(t, dead[2].Reason, "panicked")
	require.Equal(t, 1, dead[3].Attempts)
	require.Equal(t, "wrapped: wrong", dead[3].Reason)
	require.Equal(t, 3, dead[4].Attempts)
	require.Equal(t, 1, dead[6].Attempts)
	require.Contains(t, dead[6].Reason, "it is no valid aegistest.v1.StoredRequest")
	l := dead[4]
	require.Equal(t, "aegistest.v1.EventService Stored g-store-Stored aegis.log.aegistest.v1.EventService.Stored.0 a",
		l.Service+" "+l.Method+" "+l.Consumer+" "+l.Subject+" "+l.Header.Get("tenant"))
	var ev testv1.StoredRequest
	require.NoError(t, l.Unmarshal(&ev))
	require.Equal(t, "fails", ev.GetText())
	require.Error(t, dead[6].Unmarshal(&ev))
	same, err := conn.DeadLetter(t.Context(), l.Service, l.Sequence)
	require.NoError(t, err)
	require.Equal(t, l, same)
	_, err = conn.DeadLetter(t.Context(), l.Service, 1000)
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
}

func TestDeadLetterIsPutBackToThoseWhoGaveItUp(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"), "there is no stream yet")
	var broken, fine diary
	works := make(chan struct{})
	subscribe(t, conn, handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		select {
		case <-works:
			call, _ := aegis.CallFromContext(ctx)
			broken.notef("%s %d %s", ev.GetText(), call.Attempt(), call.RequestHeader().Get("tenant"))
			return nil
		default:
			return aegis.Permanent(errWrong)
		}
	}}, nil, aegis.Compete("broken"))
	subscribe(t, conn, handlers{Stored: fine.stored}, nil, aegis.Compete("fine"))
	pub := newPublisher(t, conn)
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	_, err := pub.Stored(ctx, stored("1"), aegis.MessageID("1"))
	require.NoError(t, err)
	eventually(t, "it is dead", func() bool { return len(deadLetters(t, conn, "aegistest.v1.EventService")) == 1 })
	close(works)
	dead := deadLetters(t, conn, "aegistest.v1.EventService")[0]
	require.NoError(t, conn.PutBack(t.Context(), dead))
	require.NoError(t, conn.PutBack(t.Context(), dead), "the second time does nothing")
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
	mustStore(t, pub, "2")
	broken.becomes(t, "1 1 a", "2 1 ")
	fine.becomes(t, "1", "2")
}

func TestEventsWithoutDeadLettersAreDropped(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	subscribe(t, conn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error { return errWrong }},
		[]aegis.ServerOption{log.option()}, aegis.WithoutDeadLetters(), aegis.WithRedelivery(2, time.Millisecond, time.Millisecond))
	mustStore(t, newPublisher(t, conn), "x")
	eventually(t, "it is dropped", func() bool { return log.count("an event is dropped") == 1 })
	settled(t, conn, "g-store-Stored")
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
	require.Equal(t, 1, log.count("attempts=2"))
}

func TestNamedInstanceGoesOnWhereItLeftOffAndOthersLeaveNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	var d, other diary
	each := handlers{Stored: d.stored}
	s := subscriber(t, conn, each, named("monitor"), aegis.EachInstance())
	mustStore(t, pub, "1")
	d.becomes(t, "1")
	settled(t, conn, "i-monitor-Stored")
	s.end(t)
	mustStore(t, pub, "2")
	subscribe(t, conn, each, named("monitor"), aegis.EachInstance())
	mustStore(t, pub, "3")
	d.becomes(t, "1", "2", "3")

	s = subscriber(t, conn, handlers{Stored: other.stored}, nil, aegis.EachInstance())
	stream, err := jetStream(t, conn).Stream(t.Context(), eventStream)
	require.NoError(t, err)
	c, err := stream.Consumer(t.Context(), "i-"+s.Instance()+"-Stored")
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, c.CachedInfo().Config.InactiveThreshold, "it cleans up after a crash too")
	s.end(t)
	_, err = stream.Consumer(t.Context(), "i-"+s.Instance()+"-Stored")
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
}

func TestConcurrencyOfDurableEvents(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	subscribe(t, conn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
		started <- struct{}{}
		<-release
		return nil
	}}, nil, aegis.WithMaxConcurrency(3))
	pub := newPublisher(t, conn)
	for range 5 {
		mustStore(t, pub, "")
	}
	for range 3 {
		receive(t, "a handler", started)
	}
	pending(t, "a fourth handler", started)
	close(release)
	for range 2 {
		receive(t, "the others", started)
	}
	settled(t, conn, "g-store-Stored")
}

// A handler that takes longer than the ack wait keeps its event.
func TestLongHandlersKeepTheirEvents(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		d.notef("%s", ev.GetText())
		if ev.GetText() == "long" {
			<-time.After(1600 * time.Millisecond) // more than one and a half ack waits
		}
		return nil
	}}, nil, aegis.WithMaxConcurrency(2))
	pub := newPublisher(t, conn)
	mustStore(t, pub, "long")
	settled(t, conn, "g-store-Stored")
	d.becomes(t, "long")
}

// What waits behind a long handler is not delivered to anybody else meanwhile.
func TestEventsThatWaitBehindALongHandlerAreHandledOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	h := handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		if ev.GetText() == "20" {
			<-time.After(1500 * time.Millisecond) // one and a half ack waits
		}
		d.notef("%s", ev.GetText())
		return nil
	}}
	subscribe(t, conn, h, nil)
	pub := newPublisher(t, conn)
	for i := range 50 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	subscribe(t, conn, h, nil)
	settled(t, conn, "g-store-Stored")
	require.Len(t, d.all(), 50)
}

func TestStopFinishesWhatRunsAndGivesTheRestBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	started, release := make(chan struct{}, 100), make(chan struct{})
	h := handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		started <- struct{}{}
		<-release
		d.notef("%s", ev.GetText())
		return nil
	}}
	s := subscriber(t, conn, h, nil, aegis.WithMaxConcurrency(4))
	pub := newPublisher(t, conn)
	for i := range 20 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	for range 4 {
		receive(t, "a handler", started)
	}
	s.stop()
	eventually(t, "it stops", func() bool { return s.State() == aegis.StateStopping })
	subscribe(t, conn, h, nil, aegis.WithMaxConcurrency(100))
	for range 16 {
		receive(t, "the other one has the rest", started)
	}
	pending(t, "Run returns", s.done)
	close(release)
	require.NoError(t, receive(t, "the first one stops", s.done))
	settled(t, conn, "g-store-Stored")
	require.Len(t, d.all(), 20)
}

func TestAsyncPublishersAreBoundedAndKeepTheOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn, aegis.WithMaxInFlight(10))
	var futures []*aegis.PubFuture
	for range 500 {
		f, err := pub.StoredAsync(t.Context(), stored("x"))
		require.NoError(t, err)
		futures = append(futures, f)
	}
	for i, f := range futures {
		ack, err := f.Ack(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(i+1), ack.Sequence)
		receive(t, "done", f.Done())
	}
}

func TestAsyncPublisherWithoutRoomSaysSo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	// Nobody acknowledges: a stand-in takes the events, and no stream does.
	js := jetStream(t, conn)
	pub := newPublisher(t, conn, aegis.WithMaxInFlight(2))
	mustStore(t, pub, "makes the stream")
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	standInFor(t, conn, "aegis.log.>", unanswered)
	var futures []*aegis.PubFuture
	for range 2 {
		f, err := pub.StoredAsync(t.Context(), stored("x"))
		require.NoError(t, err)
		futures = append(futures, f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := pub.StoredAsync(ctx, stored("x"))
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.ErrorContains(t, err, "2 events of aegistest.v1.EventService are in flight")
	_, err = futures[0].Ack(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = pub.Stored(ctx, stored("x"))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
}

// What is in flight when the connection is closed has an outcome.
func TestFuturesEndWithTheConnection(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	own := another(t, conn)
	pub := newPublisher(t, own)
	mustStore(t, pub, "makes the stream")
	require.NoError(t, jetStream(t, conn).DeleteStream(t.Context(), eventStream))
	standInFor(t, conn, "aegis.log.>", unanswered)
	f, err := pub.StoredAsync(t.Context(), stored("x"))
	require.NoError(t, err)
	require.NoError(t, own.Close(t.Context()))
	_, err = f.Ack(t.Context())
	require.ErrorIs(t, err, aegis.ErrConnClosed)
	_, err = pub.Stored(t.Context(), stored("x"))
	require.ErrorIs(t, err, aegis.ErrConnClosed)
}
