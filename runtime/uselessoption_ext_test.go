package aegis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/selection"
)

func TestNilOptionsAreErrors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	client, job, pub := newClient(t, conn), newJobClient(t, conn), newPublisher(t, conn)
	streaming, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	handler := handlers{Core: func(context.Context, *testv1.CoreRequest) error { return nil }}
	calls := map[string]func() error{
		"Do":          func() error { _, err := client.Do(t.Context(), doRequest(""), nil); return err },
		"Count":       func() error { _, err := streaming.Count(t.Context(), &testv1.CountRequest{}, nil); return err },
		"Sum":         func() error { _, err := streaming.Sum(t.Context(), nil); return err },
		"Chat":        func() error { _, err := streaming.Chat(t.Context(), nil); return err },
		"Tell":        func() error { return replies(t.Context(), t, newTeller(t, conn), nil)[""].Err },
		"Work":        func() error { _, err := job.Work(t.Context(), &testv1.WorkRequest{}, nil); return err },
		"Core":        func() error { return pub.Core(t.Context(), coreEvent(""), nil) },
		"Stored":      func() error { _, err := pub.Stored(t.Context(), stored(""), nil); return err },
		"StoredAsync": func() error { _, err := pub.StoredAsync(t.Context(), stored(""), nil); return err },
	}
	for name, call := range calls {
		err := call()
		requireInvalid(t, err, "option 1 is nil; leave it out")
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), name)
	}
	for _, construct := range []func() error{
		func() error { _, err := aegis.Connect(t.Context(), conn.NATS().ConnectedUrl(), nil); return err },
		func() error { _, err := aegis.NewConn(conn.NATS(), nil); return err },
		func() error { _, err := aegis.NewServer(conn, nil); return err },
		func() error { _, err := aegistestv1aegis.NewProbeServiceClient(conn, nil); return err },
		func() error { _, err := aegistestv1aegis.NewEventServicePublisher(conn, nil); return err },
		func() error { return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, nil) },
		func() error { return aegistestv1aegis.SubscribeEventServiceEvents(srv, handler, nil) },
	} {
		requireInvalid(t, construct(), "option 1 is nil; leave it out")
	}
	_, err = aegistestv1aegis.NewProbeServiceClient(conn, aegis.WaitForReady(), nil)
	requireInvalid(t, err, "option 2 is nil")
}

// Options that a call has no use for are told, not passed over.
func TestOptionsThatWouldDoNothingInACallAreErrors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client, tellers := newClient(t, conn), newTeller(t, conn)
	streaming, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	refused := func(err error, want string) {
		t.Helper()
		requireInvalid(t, err, want)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	}
	for name, o := range map[string]aegis.CallOption{"UntilReplies": aegis.UntilReplies(1), "UntilSilence": aegis.UntilSilence(time.Second)} {
		_, err := client.Do(t.Context(), doRequest(""), o)
		refused(err, name+": aegistest.v1.ProbeService.Do is no broadcast")
		_, err = streaming.Count(t.Context(), &testv1.CountRequest{}, o)
		refused(err, name+": aegistest.v1.StreamService.Count is no broadcast")
		_, err = streaming.Sum(t.Context(), o)
		refused(err, name+": aegistest.v1.StreamService.Sum is no broadcast")
		_, err = streaming.Chat(t.Context(), o)
		refused(err, name+": aegistest.v1.StreamService.Chat is no broadcast")
		_, err = aegistestv1aegis.NewProbeServiceClient(conn, o)
		requireInvalid(t, err, name+": aegistest.v1.ProbeService has no broadcast")
		_, err = aegistestv1aegis.NewBroadcastServiceClient(conn, o)
		require.NoError(t, err)
	}
	_, err = client.Do(t.Context(), doRequest(""), aegis.WithStreamWindow(1, 1))
	refused(err, "WithStreamWindow: aegistest.v1.ProbeService.Do has no stream")
	for want, o := range map[string]aegis.CallOption{
		"StickyKey: the broadcast aegistest.v1.BroadcastService.Tell goes to all instances": aegis.StickyKey("k"),
		"QueueGroup: the broadcast":       aegis.QueueGroup(),
		"RoundRobin: the broadcast":       aegis.RoundRobin(),
		"Random: the broadcast":           aegis.Random(),
		"LeastLoaded: the broadcast":      aegis.LeastLoaded(),
		"SelectBy: the broadcast":         aegis.SelectBy(selection.Random()),
		"ToInstance: the broadcast":       aegis.ToInstance("a"),
		"WaitForReady: the broadcast":     aegis.WaitForReady(),
		"MaxAttempts: the broadcast":      aegis.MaxAttempts(2),
		"WithStreamWindow: aegistest.v1.": aegis.WithStreamWindow(1, 1),
	} {
		refused(replies(t.Context(), t, tellers, o)[""].Err, want)
	}
}

// An order desk has methods of all kinds: options of its client are for those of
// them that take them.
func TestOptionsOfAClientAreForTheMethodsThatTakeThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{})
	client, err := orderv1aegis.NewOrderServiceClient(conn, aegis.RoundRobin(), aegis.UntilReplies(1), aegis.WaitForReady(), aegis.WithStreamWindow(8, 1<<20))
	require.NoError(t, err)
	require.NotNil(t, client)
	serveTell(t, conn, "i", tell)
	got := replies(t.Context(), t, newTeller(t, conn, aegis.StickyKey("k"), aegis.MaxAttempts(2), aegis.UntilReplies(1)))
	require.Len(t, got, 1)
	require.NoError(t, got["i"].Err)
}

func TestTwoOptionsThatSelectTheInstanceAreAnError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn)
	for want, opts := range map[string][]aegis.CallOption{
		"RoundRobin and LeastLoaded: both select the instance": {aegis.RoundRobin(), aegis.LeastLoaded()},
		"Random and Random":                     {aegis.Random(), aegis.Random()},
		"QueueGroup and ToInstance":             {aegis.QueueGroup(), aegis.ToInstance("a")},
		"ToInstance and StickyKey":              {aegis.ToInstance("a"), aegis.StickyKey("k")},
		"StickyKey and StickyKey":               {aegis.StickyKey("k"), aegis.StickyKey("l")},
		"StickyKey and SelectBy and StickyKey:": {aegis.StickyKey("k"), aegis.SelectBy(selection.Random()), aegis.StickyKey("l")},
	} {
		_, err := client.Do(t.Context(), doRequest(""), opts...)
		requireInvalid(t, err, want)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		var options []aegis.ClientOption
		for _, o := range opts {
			options = append(options, o)
		}
		_, err = aegistestv1aegis.NewProbeServiceClient(conn, options...)
		requireInvalid(t, err, want)
	}
}

func TestOneModeOfASubscriber(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	core := handlers{Core: func(context.Context, *testv1.CoreRequest) error { return nil }}
	for _, opts := range [][]aegis.SubscribeOption{
		{aegis.Compete("g"), aegis.EachInstance()},
		{aegis.EachInstance(), aegis.Compete("g")},
		{aegis.Compete("g"), aegis.Compete("h")},
		{aegis.EachInstance(), aegis.EachInstance()},
	} {
		requireInvalid(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, core, opts...), "Compete and EachInstance: give one of them, once")
	}
	require.NoError(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, core, aegis.EachInstance()))
}

func TestOneJetStreamOfAConnection(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, opts := range [][]aegis.ConnOption{
		{aegis.WithJetStreamDomain("d"), aegis.WithJetStreamAPIPrefix("JS.x")},
		{aegis.WithJetStreamAPIPrefix("JS.x"), aegis.WithJetStreamDomain("d")},
		{aegis.WithJetStreamDomain("d"), aegis.WithJetStreamDomain("e")},
	} {
		_, err := aegis.NewConn(conn.NATS(), opts...)
		requireInvalid(t, err, "WithJetStreamDomain and WithJetStreamAPIPrefix: give one of them, once")
	}
}

func TestStorageOfWhatIsNotStoredIsAnError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithStorage(aegis.Storage{Replicas: 3}))
	requireInvalid(t, err, "WithStorage: aegistest.v1.ProbeService has no command")
	for want, o := range map[string]aegis.PublisherOption{
		"WithMaxInFlight: aegistest.v1.ProbeService has no durable event": aegis.WithMaxInFlight(10),
		"WithStorage: aegistest.v1.ProbeService has no durable event":     aegis.WithStorage(aegis.Storage{Replicas: 3}),
	} {
		_, err := aegis.NewPublisher(conn, testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService"), o)
		requireInvalid(t, err, want)
	}
}

// The client's mistake is found before anything is sent, and before anybody is
// looked for.
func TestBadMetadataOfABroadcastIsAnInvalidArgument(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newTeller(t, conn)
	for _, opts := range [][]aegis.CallOption{nil, {aegis.UntilReplies(1)}} {
		ctx, call := aegis.NewCall(t.Context())
		call.RequestHeader().Set("k", "a\nb")
		got := replies(ctx, t, client, opts...)
		require.Len(t, got, 1)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(got[""].Err))
		require.ErrorContains(t, got[""].Err, `INVALID_ARGUMENT: metadata "k": the value "a\nb" has a control character`)
	}
}
