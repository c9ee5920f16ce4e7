package aegis_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/health"
)

// Messages whose readers have to know what to do.

// The first thing that everybody tries by hand.
func TestJSONWithoutItsHeaderSaysWhatToSend(t *testing.T) {
	t.Parallel()
	const missing = "it begins as JSON does, and no header says that it is; send JSON with the header Content-Type: application/json"
	nc := serveJSON(t)
	for _, body := range []string{`{"text":"hi"}`, " \r\n\t{\"text\": \"hi\"}"} {
		var res *nats.Msg
		eventually(t, "it is read", func() bool {
			res = ask(t, nc, "", body)
			return res.Header.Get(wire.HeaderReason) != aegis.ReasonStale // as on a busy machine
		})
		require.Equal(t, "3", res.Header.Get(wire.HeaderServiceErrorCode))
		require.Equal(t, "the request of aegistest.v1.ProbeService.Do is no valid aegistest.v1.DoRequest: "+missing, res.Header.Get(wire.HeaderServiceError))
	}
	require.NotContains(t, ask(t, nc, "", "\xff{").Header.Get(wire.HeaderServiceError), "JSON")
	require.NotContains(t, ask(t, nc, "application/json", `{"nothing": 1}`).Header.Get(wire.HeaderServiceError), "no header says")

	conn := connect(t)
	serveStreams(t, conn, streams{})
	nc = plain(t, conn)
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	ask := func() {
		require.NoError(t, nc.PublishRequest("aegis.call.aegistest.v1.StreamService.Count", inbox, []byte(`{"numbers":1}`)))
	}
	ask()
	eventually(t, "the stream ends with the error", func() bool {
		msg, err := sub.NextMsg(patience)
		require.NoError(t, err)
		if msg.Header.Get(wire.HeaderReason) == aegis.ReasonStale {
			ask()
		}
		return msg.Header.Get(wire.HeaderServiceError) == "the request of aegistest.v1.StreamService.Count is no valid aegistest.v1.CountRequest: "+missing
	})
}

func TestJSONThatIsPublishedByHandSaysThatItIsNotRead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	subscribe(t, conn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error { return nil }}, named("one"), aegis.EachInstance())
	worker(t, conn, jobs{})
	js := jetStream(t, conn)
	for subject, service := range map[string]string{
		"aegis.log.aegistest.v1.EventService.Stored.0":      eventService,
		"aegis.cmd.aegistest.v1.JobService.Work.n.byhand.1": jobService,
	} {
		_, err := js.Publish(t.Context(), subject, []byte(`{"text":"x"}`))
		require.NoError(t, err)
		eventually(t, "it is dead", func() bool { return len(deadLetters(t, conn, service)) == 1 })
		require.Contains(t, deadLetters(t, conn, service)[0].Reason, "it begins as JSON does, and no header says that it is; publish JSON with the header Content-Type: application/json")
	}
}

// It is for servers to make the bucket, and a client that starts first is no fault.
func TestClientThatStartsFirstIsNotToldToMakeTheRegistry(t *testing.T) {
	t.Parallel()
	var log logs
	conn := aegistest.Connect(t, log.option())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := conn.Instances(ctx, probeName)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.ErrorContains(t, err, "there is no registry yet: the first server that starts makes it (the KV bucket aegis-registry)")
	instances, err := conn.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.Empty(t, instances)
	require.Equal(t, 1, log.count("there is no registry yet; the first server that starts makes it"))
	require.Zero(t, log.count("history 1"))
	require.Zero(t, log.count("level=WARN"))
	serve(t, conn, probe{}, aegis.WithInstance("one"))
	eventually(t, "the registry can be read", func() bool { return log.count("the registry can be read") == 1 })
}

func TestOnLeadingThatHangsIsInTheLogAndNamedToCallers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	loaded := make(chan struct{})
	load := sync.OnceFunc(func() { close(loaded) })
	a := &desk{name: "a", onLeading: func(ctx context.Context, _ aegis.Term) error {
		select {
		case <-loaded:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { // with a lease that a busy machine does not lose
		return orderv1aegis.RegisterOrderServiceServer(srv, a, aegis.WithElection(election.Config{Lease: 4 * time.Second, Window: time.Second}))
	}, aegis.WithInstance("a"), log.option())
	defer load()
	eventually(t, "it is elected", func() bool { return log.count("elected, loading") > 0 })
	client := newOrders(t, conn) // which asks at once, and is told
	last := ""
	eventually(t, "the error names the instance", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"})
		if e := asError(t, err); e.Error() != last {
			last = e.Error()
			t.Log(last)
		}
		return errors.Is(err, aegis.ErrNotActive) && !aegis.IsWireError(err) && asError(t, err).Message() ==
			"nobody serves order.v1.OrderService, group default: a was elected, and does not listen: "+
				"its OnLeading has not returned, or it is gone and nobody has taken its place yet"
	})
	eventually(t, "the log says so", func() bool {
		return log.count("OnLeading has not returned, and until it does nobody serves what the leader does") > 0
	})
	load()
	_, err := place(t, client)
	require.NoError(t, err)
	require.EqualValues(t, 1, a.placed.Load())
}

// A grace period of nothing is over before the workers have said that they have
// nothing to do.
func TestServerThatRunsNothingStopsWithoutAGracePeriod(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for range 10 {
		var log logs
		srv := run(t, conn, probe{}, aegis.WithGracePeriod(0), log.option())
		srv.stop()
		require.NoError(t, receive(t, "Run returns", srv.done))
		require.Zero(t, log.count("the grace period"))
	}
}

// The handler has returned, but what it did is not stored yet, and is done again.
func TestResultsThatAreNotStoredAreNamedAtTheStop(t *testing.T) {
	t.Parallel()
	away := restartJetStream(t)
	clientConn, workerConn := connectTo(t, away.url), connectTo(t, away.url)
	working, finish := make(chan struct{}), make(chan struct{})
	srv, err := aegis.NewServer(workerConn, aegis.WithGracePeriod(100*time.Millisecond))
	require.NoError(t, err)
	returned := make(chan struct{})
	require.NoError(t, registerJobs(jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		defer close(returned)
		close(working)
		<-finish
		return &testv1.WorkResponse{}, nil
	}})(srv))
	r := runServer(t, srv)
	send(t, newJobClient(t, clientConn), "x")
	receive(t, "the command is worked", working)
	away.down(workerConn)
	close(finish)
	receive(t, "the handler returns", returned)
	eventually(t, "its result is being stored", func() bool { return srv.ResultsUnderWay() == 1 })
	r.stop()
	require.EqualError(t, receive(t, "Run returns", r.done), "aegis: after the grace period of 100ms handlers still ran: "+
		"the storing of results of aegistest.v1.JobService.Work (1)")
}

func TestWhatIsNoNameOfAServiceHasNoDeadLetters(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"", "a b", "a..b", "order.*", ">", "Größe"} {
		want := strconv.Quote(name) + " is no full name of a service, such as echo.v1.EchoService"
		refused := func(err error) {
			t.Helper()
			require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), name)
			require.ErrorContains(t, err, want)
		}
		n := 0
		for d, err := range conn.DeadLetters(t.Context(), name) {
			n++
			require.Nil(t, d)
			refused(err)
		}
		require.Equal(t, 1, n)
		_, err := conn.DeadLetter(t.Context(), name, 1)
		refused(err)
		refused(conn.PutBack(t.Context(), &aegis.DeadLetter{Service: name}))
		refused(conn.DiscardDeadLetter(t.Context(), &aegis.DeadLetter{Service: name}))
	}
}

func TestTooLargeMessagesSayWhatHelps(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	const (
		inParts = "set max_message_bytes in the method's options, and it travels in parts"
		less    = "raise max_payload of the NATS server, or store the data elsewhere and send where they are"
	)
	data := make([]byte, 2*maxPayload)
	tooLarge := func(err error, advice string) {
		t.Helper()
		e := asError(t, err)
		require.Equal(t, aegis.ReasonTooLarge, e.Reason())
		require.Contains(t, e.Message(), "max_payload is 1048576; "+advice)
	}
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		return &testv1.DoResponse{Data: data}, nil
	}})
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), &testv1.DoRequest{Data: data})
	tooLarge(err, inParts)
	_, err = client.Do(t.Context(), doRequest(""))
	tooLarge(err, inParts)

	serveStreams(t, conn, streams{count: func(_ context.Context, _ *testv1.CountRequest, out countOut) error {
		return out.Send(&testv1.CountResponse{Data: data})
	}})
	caller := newStreamClient(t, conn)
	in, err := caller.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	_, err = in.Recv()
	require.ErrorContains(t, err, inParts)
	_, err = caller.Count(t.Context(), &testv1.CountRequest{Data: data})
	tooLarge(err, less) // the request of a stream of responses has no parts

	_, err = newPublisher(t, conn).Stored(t.Context(), &testv1.StoredRequest{Text: string(data)})
	tooLarge(err, less)
	_, err = newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{Text: string(data)})
	tooLarge(err, less)

	serveTell(t, conn, "one", func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
		return &testv1.TellResponse{InstanceName: string(data)}, nil
	})
	known(t, conn, teller, 1)
	_, err = collect(t, newTeller(t, conn))
	tooLarge(err, less)

	serveLarge(t, conn, large{})
	payload, err := proto.Marshal(&testv1.LargeRequest{Bytes: 2 * maxPayload})
	require.NoError(t, err)
	nc := plain(t, conn)
	eventually(t, "the error says what a plain client lacks", func() bool {
		res, err := nc.Request("aegis.call.aegistest.v1.LargeService.Bounce", payload, patience)
		return err == nil && strings.Contains(res.Header.Get(wire.HeaderServiceError), "the client takes no messages in parts")
	})
}

func TestBroadcastThatCannotBeSentDoesNotLectureAboutStopRules(t *testing.T) {
	t.Parallel()
	away := startRestartable(t) // without JetStream the registry is not known at once
	client := newTeller(t, connectTo(t, away.url))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	got := replies(canceled, t, client)
	require.Len(t, got, 1)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(got[""].Err))
	require.ErrorIs(t, got[""].Err, context.Canceled)
	require.NotContains(t, got[""].Err.Error(), "Until")

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got = replies(short, t, client)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(got[""].Err))
	require.ErrorContains(t, got[""].Err, "aegistest.v1.BroadcastService.Tell was not sent: the instances are not known")
	require.NotContains(t, got[""].Err.Error(), "Until")
}

func TestOutageIsCalledByItsName(t *testing.T) {
	t.Parallel()
	away := restartJetStream(t)
	var log logs
	conn := connectTo(t, away.url, log.option())
	working, finish := make(chan struct{}, 16), make(chan struct{})
	looked := make(chan struct{}, 1)
	healthy := make(chan struct{})
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		working <- struct{}{}
		<-finish
		return &testv1.DoResponse{Data: make([]byte, 1_000_000)}, nil
	}}, aegis.WithHeartbeat(100*time.Millisecond), aegis.WithCheck("c", func(context.Context) health.Result {
		select {
		case <-healthy:
		default:
			return health.Result{}
		}
		select {
		case looked <- struct{}{}:
		default:
		}
		return health.Result{Unhealthy: true, Reason: "as told"}
	}))
	client := newClient(t, connectTo(t, away.url))
	for range 10 { // one more than the replies that are kept
		go func() { _, _ = client.Do(t.Context(), doRequest("")) }()
	}
	for range 10 {
		receive(t, "a handler runs", working)
	}
	away.down(conn)
	err := conn.DiscardDeadLetter(t.Context(), &aegis.DeadLetter{Service: probeName})
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.ErrorContains(t, err, "not connected to NATS")
	require.NotContains(t, err.Error(), "outbound buffer")
	close(finish)
	eventually(t, "there is no room for a reply", func() bool { return log.count("a reply cannot be sent") > 0 })
	require.Positive(t, log.count("not connected to NATS, and the replies that are kept until then take 8388608 bytes"))

	close(healthy) // which is to be registered
	for range 5 {
		receive(t, "the check is looked at", looked)
	}
	require.Zero(t, log.count("outbound buffer"))
	require.Zero(t, log.count("it serves"))
	require.Zero(t, log.count("known by their heartbeats"))
	away.up()
	eventually(t, "the server is back", func() bool { return conn.NATS().IsConnected() })
}

func TestNameThatMayBeMisspelledIsAWarning(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t, log.option())
	serve(t, conn, probe{}, silent())
	for range 2 {
		for _, name := range []string{"aegistest.v1.ProbServcie", aegis.Subscribers("aegistest.v1.EvntService"), probeName, aegistestv1aegis.JobServiceName, aegis.AllServices} {
			_, err := conn.Instances(t.Context(), name)
			require.NoError(t, err)
		}
	}
	require.Equal(t, 2, log.count("is its name misspelled?"))
	require.Equal(t, 1, log.count("aegistest.v1.ProbServcie"))
	require.Equal(t, 1, log.count("aegistest.v1.EvntService"))
	ctx, cancel := context.WithCancel(t.Context())
	watched := async(func() (any, error) {
		for _, err := range conn.WatchInstances(ctx, "aegistest.v1.Other") {
			return nil, errors.Join(errWrong, err) // there is none
		}
		return nil, nil
	})
	eventually(t, "a watch says so too", func() bool { return log.count("aegistest.v1.Other") == 1 })
	cancel()
	require.NoError(t, receive(t, "the watch ends", watched).err)
}
