package aegis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func coreEvent(text string) *testv1.CoreRequest { return &testv1.CoreRequest{Text: text} }

func TestCoreEventsGoToOneOfAGroupAndToEachInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var risk, audit, monitors, told diary
	note := func(d *diary) handlers {
		return handlers{Core: func(_ context.Context, ev *testv1.CoreRequest) error { d.notef("%s", ev.GetText()); return nil }}
	}
	for range 2 {
		subscribe(t, conn, note(&risk), nil, aegis.Compete("risk"))
		subscribe(t, conn, note(&audit), nil, aegis.Compete("audit"))
		subscribe(t, conn, note(&monitors), nil, aegis.EachInstance())
		subscribe(t, conn, handlers{Told: func(context.Context, *testv1.ToldRequest) error { told.notef("told"); return nil }}, nil)
	}
	pub := newPublisher(t, conn)
	for range 10 {
		require.NoError(t, pub.Core(t.Context(), coreEvent("x")))
	}
	require.NoError(t, pub.Told(t.Context(), &testv1.ToldRequest{}))
	eventually(t, "all have their copies", func() bool {
		return risk.count("x") == 10 && audit.count("x") == 10 && monitors.count("x") == 20 && told.count("told") == 2
	})
}

func TestGroupIsTheServiceOfTheServerUnlessNamed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	core := handlers{Core: func(context.Context, *testv1.CoreRequest) error { return nil }}
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	err = aegistestv1aegis.SubscribeEventServiceEvents(srv, core)
	require.ErrorContains(t, err, `aegistest.v1.EventService.Core: which group is to compete for it? The server has 0 services`)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
	require.NoError(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, core))
	err = aegistestv1aegis.SubscribeEventServiceEvents(srv, core, aegis.Compete(""))
	require.ErrorContains(t, err, "is subscribed to already by this server, as a member of the group aegistest-v1-ProbeService")
	require.NoError(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, core, aegis.Compete("other")))
}

func TestSubscriberOptionsAreChecked(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	core := handlers{Core: func(context.Context, *testv1.CoreRequest) error { return nil }}
	for what, o := range map[string]aegis.SubscribeOption{
		"a b":                       aegis.Compete("a b"),
		"concurrency 0":             aegis.WithMaxConcurrency(0),
		"0 attempts":                aegis.WithRedelivery(0, time.Second, time.Second),
		"pauses of 2s to 1s":        aegis.WithRedelivery(2, 2*time.Second, time.Second),
		"sequence 0":                aegis.StartFrom(aegis.StartSequence(0)),
		"StartFrom: no event":       aegis.StartFrom(aegis.StartAll()),
		"WithRedelivery: no event":  aegis.WithRedelivery(1, time.Second, time.Second),
		"WithoutDeadLetters: no ev": aegis.WithoutDeadLetters(),
		"WithStorage: no event":     aegis.WithStorage(aegis.Storage{Replicas: 3}),
		"replicas 2":                aegis.WithStorage(aegis.Storage{Replicas: 2}),
		"max bytes -1":              aegis.WithStorage(aegis.Storage{MaxBytes: -1}),
		"max age 1ms":               aegis.WithStorage(aegis.Storage{MaxAge: time.Millisecond}),
		"dedupe window 1ms":         aegis.WithStorage(aegis.Storage{DedupeWindow: time.Millisecond}),
		"more than the max age":     aegis.WithStorage(aegis.Storage{DedupeWindow: time.Hour, MaxAge: time.Minute}),
	} {
		err := aegistestv1aegis.SubscribeEventServiceEvents(srv, core, aegis.EachInstance(), o)
		require.ErrorIs(t, err, aegis.ErrInvalidOption)
		require.ErrorContains(t, err, what)
	}
	require.ErrorContains(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, handlers{}), "no event of aegistest.v1.EventService has a handler")
}

func TestPublisherOptionsAreChecked(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := aegistestv1aegis.NewEventServicePublisher(conn, aegis.WithMaxInFlight(0))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	pub := newPublisher(t, conn)
	err = pub.Core(t.Context(), coreEvent(""), aegis.MessageID("1"))
	require.ErrorContains(t, err, "is no durable event")
	_, err = pub.Stored(t.Context(), stored(""), aegis.MessageID("a\nb"))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

func TestEventsCarryMetadataThroughInterceptorsOfBothSides(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	got := make(chan string, 1)
	at := func(where string) aegis.InterceptorsOption {
		return aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
			return func(ctx context.Context, req proto.Message) (proto.Message, error) {
				call, ok := aegis.CallFromContext(ctx)
				require.True(t, ok)
				require.Equal(t, "Core", call.Method().Name)
				call.RequestHeader().Add("way", where)
				return next(ctx, req)
			}
		}))
	}
	subscribe(t, conn, handlers{Core: func(ctx context.Context, ev *testv1.CoreRequest) error {
		call, _ := aegis.CallFromContext(ctx)
		got <- ev.GetText() + " " + call.RequestHeader().Get("tenant") + " " + call.Instance()
		require.Equal(t, []string{"publisher", "subscriber"}, call.RequestHeader().Values("way"))
		return nil
	}}, named("one"), aegis.EachInstance(), at("subscriber"))
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	require.NoError(t, newPublisher(t, conn, at("publisher")).Core(ctx, coreEvent("hi")))
	require.Equal(t, "hi a one", receive(t, "the event", got))
}

func TestFailuresOfCoreHandlersAreLoggedAndTheNextEventComes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	var d diary
	subscribe(t, conn, handlers{Core: func(_ context.Context, ev *testv1.CoreRequest) error {
		d.notef("%s", ev.GetText())
		switch ev.GetText() {
		case "panics":
			panic("oops")
		case "fails":
			return errWrong
		}
		return nil
	}}, []aegis.ServerOption{log.option()}, aegis.EachInstance())
	require.NoError(t, conn.NATS().Publish("aegis.evt.aegistest.v1.EventService.Core", []byte{0xff}))
	pub := newPublisher(t, conn)
	for _, text := range []string{"panics", "fails", "last"} {
		require.NoError(t, pub.Core(t.Context(), coreEvent(text)))
	}
	d.becomes(t, "panics", "fails", "last")
	require.Equal(t, 1, log.count("cannot be read is dropped"))
	require.Equal(t, 1, log.count("a handler panicked"))
	require.Equal(t, 2, log.count("such events are not delivered again"))
}

func TestConcurrencyOfCoreEventsIsBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	subscribe(t, conn, handlers{Core: func(context.Context, *testv1.CoreRequest) error {
		started <- struct{}{}
		<-release
		return nil
	}}, nil, aegis.EachInstance(), aegis.WithMaxConcurrency(3))
	pub := newPublisher(t, conn)
	for range 5 {
		require.NoError(t, pub.Core(t.Context(), coreEvent("")))
	}
	for range 3 {
		receive(t, "a handler", started)
	}
	require.NoError(t, conn.NATS().Flush())
	pending(t, "a fourth handler", started)
	close(release)
	for range 2 {
		receive(t, "the others", started)
	}
}

func TestPublishWaitsForTheConnectionUntilItsDeadline(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	conn, subConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	got := make(chan string, 10)
	subscribe(t, subConn, handlers{Core: func(_ context.Context, ev *testv1.CoreRequest) error { got <- ev.GetText(); return nil }}, nil, aegis.EachInstance())
	pub := newPublisher(t, conn)
	restarted.down(conn, subConn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := pub.Core(ctx, coreEvent("too late"))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	canceled, cancelNow := context.WithCancel(t.Context())
	waiting := async(func() (any, error) { return nil, pub.Core(canceled, coreEvent("canceled")) })
	cancelNow()
	require.ErrorIs(t, receive(t, "the canceled one", waiting).err, context.Canceled)

	waiting = async(func() (any, error) { return nil, pub.Core(t.Context(), coreEvent("waits")) })
	restarted.up()
	require.NoError(t, receive(t, "the one that waits", waiting).err)
	eventually(t, "the subscriber is back", func() bool {
		require.NoError(t, pub.Core(t.Context(), coreEvent("again")))
		return len(got) > 0
	})
	require.NotEqual(t, "too late", <-got)
}

func TestEventThatIsTooLargeIsRefusedWithBothSizes(t *testing.T) {
	t.Parallel()
	pub := newPublisher(t, connect(t))
	large := make([]byte, 1<<20+1)
	_, err := pub.Stored(t.Context(), &testv1.StoredRequest{Data: large})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	_, err = pub.StoredAsync(t.Context(), &testv1.StoredRequest{Data: large})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	err = pub.Core(t.Context(), coreEvent(string(large)))
	require.ErrorContains(t, err, "max_payload is 1048576")
}

func TestStopWaitsForHandlersOfCoreEvents(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		conn := connect(t)
		started, release := make(chan struct{}), make(chan struct{})
		var d diary
		s := subscriber(t, conn, handlers{Core: func(context.Context, *testv1.CoreRequest) error {
			close(started)
			<-release
			d.notef("done")
			return nil
		}}, nil, aegis.EachInstance(), aegis.WithMaxConcurrency(n))
		require.NoError(t, newPublisher(t, conn).Core(t.Context(), coreEvent("")))
		receive(t, "the handler runs", started)
		s.stop()
		eventually(t, "it stops", func() bool { return s.State() == aegis.StateStopping })
		pending(t, "Run returns", s.done)
		close(release)
		require.NoError(t, receive(t, "the server stops", s.done))
		d.becomes(t, "done")
	}
}

func TestHandlersOfEventsEndWithTheGracePeriod(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, ended := make(chan struct{}), make(chan error, 1)
	s := subscriber(t, conn, handlers{Core: func(ctx context.Context, _ *testv1.CoreRequest) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil
	}}, []aegis.ServerOption{aegis.WithGracePeriod(10 * time.Millisecond)}, aegis.EachInstance())
	require.NoError(t, newPublisher(t, conn).Core(t.Context(), coreEvent("")))
	receive(t, "the handler runs", started)
	s.stop()
	require.ErrorContains(t, receive(t, "the server stops", s.done), "EventService.Core (1)")
	require.ErrorIs(t, receive(t, "its context ends", ended), context.Canceled)
}
