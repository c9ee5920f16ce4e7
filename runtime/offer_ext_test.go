package aegis_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/descriptorpb"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	singleactivev1 "github.com/aegisrpc/aegis/internal/codegen/golden/singleactive"
	"github.com/aegisrpc/aegis/internal/codegen/golden/singleactive/singleactivev1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// noJobs is an instance that works no command.
type noJobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

// hiddenJobs is one that nobody can tell it of before it is called.
type hiddenJobs struct {
	aegistestv1aegis.JobServiceServer
}

func (h hiddenJobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return h.JobServiceServer.Work(ctx, req)
}

func serveJobs(t *testing.T, conn *aegis.Conn, impl aegistestv1aegis.JobServiceServer, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, impl)
	}, opts...)
}

// Two processes that serve calls, beside one worker, took 27 of 60 commands and
// made dead letters of them.
func TestCommandIsWorkedByInstancesThatImplementIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	for range 2 {
		serveJobs(t, another(t, conn), noJobs{}, log.option())
	}
	worker(t, another(t, conn), jobs{})
	client := newJobClient(t, conn)
	var sent []*workCommand
	for i := range 60 {
		sent = append(sent, send(t, client, strconv.Itoa(i)))
	}
	for i, cmd := range sent {
		require.Equal(t, strconv.Itoa(i), mustResult(t, cmd))
	}
	require.Empty(t, deadLetters(t, conn, jobService))
	require.Equal(t, 2, log.count("nothing of it is offered"))
}

func TestCommandThatTurnsOutToBeNotImplementedIsGivenBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	serveJobs(t, another(t, conn), hiddenJobs{noJobs{}}, log.option())
	client := newJobClient(t, conn)
	first := send(t, client, "first")
	eventually(t, "the instance gives up", func() bool { return log.count("is not implemented by this instance") == 1 })
	worker(t, another(t, conn), jobs{})
	require.Equal(t, "first", mustResult(t, first))
	for i := range 60 {
		require.Equal(t, strconv.Itoa(i), mustResult(t, send(t, client, strconv.Itoa(i))))
	}
	require.Empty(t, deadLetters(t, conn, jobService))
	require.Equal(t, 1, log.count("is not implemented by this instance"))
}

// onlyDo is an older instance.
type onlyDo struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
	probe probe
}

func (o onlyDo) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return o.probe.Do(ctx, req)
}

// hiddenGet lacks Get, which it has a method for.
type hiddenGet struct{ onlyDo }

func (h hiddenGet) Get(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	return h.onlyDo.Get(ctx, req)
}

func serveProbes(t *testing.T, conn *aegis.Conn, impl aegistestv1aegis.ProbeServiceServer, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, impl)
	}, opts...)
}

func TestCallGoesToInstancesThatImplementIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbes(t, another(t, conn), onlyDo{}, aegis.WithInstance("lacks"))
	serve(t, another(t, conn), probe{}, aegis.WithInstance("has"))
	known(t, conn, "aegistest.v1.ProbeService", 2)
	for _, client := range []aegistestv1aegis.ProbeServiceClient{newClient(t, conn), newClient(t, conn, aegis.RoundRobin())} {
		for range 50 {
			_, err := client.Get(t.Context(), getRequest(""))
			require.NoError(t, err)
		}
	}
	_, err := newClient(t, conn).Get(t.Context(), getRequest(""), aegis.ToInstance("lacks"))
	require.Equal(t, aegis.CodeUnimplemented, aegis.CodeOf(err))
	require.Equal(t, aegis.ReasonNoMethod, asError(t, err).Reason())
	served := map[string]bool{}
	for range 100 {
		res, err := newClient(t, conn).Do(t.Context(), doRequest(""))
		require.NoError(t, err)
		served[res.GetInstanceName()] = true
	}
	require.Len(t, served, 2, "what it has it serves")
}

func TestCallThatTurnsOutToBeNotImplementedIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	serveProbes(t, another(t, conn), hiddenGet{}, log.option())
	serve(t, another(t, conn), probe{})
	client := newClient(t, conn)
	for range 100 {
		_, err := client.Get(t.Context(), getRequest(""))
		require.NoError(t, err)
	}
	require.Equal(t, 1, log.count("is not implemented by this instance"))
}

type noTell struct {
	aegistestv1aegis.UnimplementedBroadcastServiceServer
}

func TestBroadcastDoesNotAwaitInstancesThatLackIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, another(t, conn), func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBroadcastServiceServer(srv, noTell{})
	})
	serveTell(t, another(t, conn), "has", tell)
	known(t, conn, "aegistest.v1.BroadcastService", 2)
	var got []string
	for r := range newTeller(t, conn).Tell(t.Context(), &testv1.TellRequest{}) {
		require.NoError(t, r.Err)
		got = append(got, r.Instance)
	}
	require.Equal(t, []string{"has"}, got)
}

// hiddenTell lacks the method, and nobody can tell it before it is called.
type hiddenTell struct {
	aegistestv1aegis.BroadcastServiceServer
}

func (h hiddenTell) Tell(ctx context.Context, req *testv1.TellRequest) (*testv1.TellResponse, error) {
	return h.BroadcastServiceServer.Tell(ctx, req)
}

// The registry goes on saying that the instance has the broadcast, so that it is
// awaited each time.
func TestBroadcastThatTurnsOutToBeNotImplementedIsAnsweredEachTime(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, another(t, conn), func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBroadcastServiceServer(srv, hiddenTell{noTell{}})
	}, aegis.WithInstance("lacks"))
	serveTell(t, another(t, conn), "has", tell)
	known(t, conn, teller, 2)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*patience)
		got := receive(t, "all answer", async(func() (map[string]aegis.Reply[testv1.TellResponse], error) {
			return replies(ctx, t, newTeller(t, conn)), nil
		})).res
		cancel()
		require.NoError(t, got["has"].Err)
		require.Equal(t, aegis.ReasonNoMethod, asError(t, got["lacks"].Err).Reason())
	}
}

// An instance of before has the method, as another pattern.
func TestBroadcastDoesNotAwaitInstancesWhereItIsNone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	before := nextVersion(t, testv1.File_aegistest_v1_testing_proto, "BroadcastService", func(s *descriptorpb.ServiceDescriptorProto) {
		findMethod(t, s, "Tell").Options = nil
	})
	srv, err := aegis.NewServer(another(t, conn), aegis.WithInstance("before"))
	require.NoError(t, err)
	type server = aegistestv1aegis.BroadcastServiceServer
	require.NoError(t, aegis.RegisterService[server](srv, before, tellFunc(tell), []aegis.Handler[server]{aegis.UnaryHandler("Tell", server.Tell)}))
	runServer(t, srv)
	serveTell(t, another(t, conn), "now", tell)
	known(t, conn, teller, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 100*patience)
	defer cancel()
	got := receive(t, "it ends", async(func() (map[string]aegis.Reply[testv1.TellResponse], error) {
		return replies(ctx, t, newTeller(t, conn)), nil
	})).res
	require.Len(t, got, 1)
	require.NoError(t, got["now"].Err)
}

// Of an instance of which it is not known what it has, it is not said that it is gone
// where it only does not listen.
func TestBroadcastToInstancesThatDoNotListenDoesNotSayThatTheyAreGone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	nc := plain(t, conn)
	record := registry.Record{
		Service: teller, Instance: "l1", Process: "p", Incarnation: 1, Change: 1, State: registry.Running, Heartbeat: registry.MaxHeartbeat,
	}
	beat, err := (&registry.Beat{Record: &record}).Encode()
	require.NoError(t, err)
	standInFor(t, conn, "aegis.inst.l1."+teller+".*", func(_ int, msg *nats.Msg) { refuseWith(msg, aegis.CodeUnimplemented, aegis.ReasonNoMethod) })
	eventually(t, "it is known", func() bool {
		require.NoError(t, nc.Publish("aegis.beat."+teller+".l1", beat))
		instances, err := conn.Instances(t.Context(), teller)
		require.NoError(t, err)
		return len(instances) == 1
	})
	got := replies(t.Context(), t, newTeller(t, conn))
	require.Len(t, got, 1)
	require.ErrorIs(t, got["l1"].Err, aegis.ErrNoResponders)
	require.ErrorContains(t, got["l1"].Err, "it lacks the method, or is gone")
}

// venueEast leads one of the two groups.
type venueEast struct {
	singleactivev1aegis.UnimplementedVenueServiceServer
}

func (venueEast) OnLeading(context.Context, aegis.Term) error { return nil }

func (venueEast) PlaceEast(context.Context, *singleactivev1.PlaceRequest) (*singleactivev1.PlaceResponse, error) {
	return &singleactivev1.PlaceResponse{}, nil
}

func TestInstanceLeadsOnlyWhatItImplements(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return singleactivev1aegis.RegisterVenueServiceServer(srv, venueEast{})
	})
	client, err := singleactivev1aegis.NewVenueServiceClient(conn)
	require.NoError(t, err)
	_, err = client.PlaceEast(t.Context(), &singleactivev1.PlaceRequest{})
	require.NoError(t, err)
	for term := range srv.Leading() {
		require.Equal(t, "east", term.Group)
	}
	js := jetStream(t, conn)
	kv, err := js.KeyValue(t.Context(), "aegis-leaders")
	require.NoError(t, err)
	keys, err := kv.Keys(t.Context())
	require.NoError(t, err)
	for _, key := range keys {
		require.NotContains(t, key, "west", "it never stood for it")
	}
}

func TestWhatIsEmbeddedAndNilIsRefused(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	err = aegistestv1aegis.RegisterJobServiceServer(srv, struct {
		*aegistestv1aegis.UnimplementedJobServiceServer
	}{})
	require.ErrorContains(t, err, "embed UnimplementedJobServiceServer by value")
	require.ErrorContains(t, aegistestv1aegis.RegisterJobServiceServer(srv, hiddenOnce{}), "nil pointer or interface")
}

// noLeading has all methods of a venue, but its OnLeading is nobody's.
type noLeading struct {
	singleactivev1aegis.UnimplementedVenueServiceServer
	leadingPart
}

type leadingPart interface {
	OnLeading(ctx context.Context, t aegis.Term) error
}

func TestOnLeadingOfNothingIsRefused(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	err = singleactivev1aegis.RegisterVenueServiceServer(srv, noLeading{})
	require.ErrorContains(t, err, "that OnLeading would be called on")
}

// hiddenOnce has a Work of its own and no Once.
type hiddenOnce struct {
	aegistestv1aegis.JobServiceServer
}

func (hiddenOnce) Work(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return &testv1.WorkResponse{}, nil
}

func TestWithUnimplementedOffersWhatInterceptorsAnswer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, onlyDo{}, aegis.WithUnimplemented())
	})
	_, err := newClient(t, conn).Get(t.Context(), getRequest(""))
	require.Equal(t, aegis.CodeUnimplemented, aegis.CodeOf(err))
	require.Empty(t, asError(t, err).Reason())
}

func TestOptionsForHalfAServiceAreChecked(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	jobsWith := func(opts ...aegis.ServiceOption) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}, opts...)
	}
	probeWith := func(opts ...aegis.ServiceOption) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, opts...)
	}
	for text, err := range map[string]error{
		"WithoutCommands: aegistest.v1.ProbeService has no command":                          probeWith(aegis.WithoutCommands()),
		"WithoutCalls: aegistest.v1.ProbeService has no command":                             probeWith(aegis.WithoutCalls()),
		"WithoutCalls: aegistest.v1.JobService has nothing that is called":                   jobsWith(aegis.WithoutCalls()),
		"WithoutCommands: nothing of aegistest.v1.JobService is left":                        jobsWith(aegis.WithoutCommands()),
		"WithUnimplemented: the implementation of aegistest.v1.ProbeService lacks no method": probeWith(aegis.WithUnimplemented()),
	} {
		require.ErrorIs(t, err, aegis.ErrInvalidOption, text)
		require.ErrorContains(t, err, text)
	}
}

func TestPermanentDoesNotDoubleTheCode(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		return nil, aegis.Permanent(aegis.NewError(aegis.CodeOutOfRange, "too far"))
	}})
	_, err := outcome(t.Context(), send(t, newJobClient(t, conn), ""))
	require.EqualError(t, err, "OUT_OF_RANGE: too far")
	require.Equal(t, "OUT_OF_RANGE: too far", deadLetters(t, conn, jobService)[0].Reason)
}

// wholeDesk has calls and a command.
type wholeDesk struct{ *desk }

func (d wholeDesk) ReconcileBook(context.Context, *orderv1.ReconcileBookRequest) (*orderv1.ReconcileBookResponse, error) {
	return &orderv1.ReconcileBookResponse{Instance: d.name}, nil
}

func (d wholeDesk) GetOrder(context.Context, *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	return &orderv1.GetOrderResponse{Instance: d.name}, nil
}

func (d wholeDesk) ReloadLimits(context.Context, *orderv1.ReloadLimitsRequest) (*orderv1.ReloadLimitsResponse, error) {
	return &orderv1.ReloadLimitsResponse{}, nil
}

func TestInstanceServesCallsOrWorksCommandsAlone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for name, opt := range map[string]aegis.ServiceOption{"api": aegis.WithoutCommands(), "worker": aegis.WithoutCalls()} {
		aegistest.Serve(t, another(t, conn), func(srv *aegis.Server) error {
			return orderv1aegis.RegisterOrderServiceServer(srv, wholeDesk{&desk{name: name}}, opt)
		}, aegis.WithInstance(name))
	}
	known(t, conn, orderName, 2)
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	for range 20 {
		res, err := client.GetOrder(t.Context(), &orderv1.GetOrderRequest{})
		require.NoError(t, err)
		require.Equal(t, "api", res.GetInstance())
		res, err = client.GetOrder(t.Context(), &orderv1.GetOrderRequest{}, aegis.RoundRobin())
		require.NoError(t, err)
		require.Equal(t, "api", res.GetInstance())
		cmd, err := client.ReconcileBook(t.Context(), &orderv1.ReconcileBookRequest{})
		require.NoError(t, err)
		done, err := cmd.Result(t.Context())
		require.NoError(t, err)
		require.Equal(t, "worker", done.GetInstance())
	}
	placed, err := client.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{})
	require.NoError(t, err)
	require.Equal(t, "api", placed.GetInstance(), "a worker alone does not stand for what is called")
	for r := range client.ReloadLimits(t.Context(), &orderv1.ReloadLimitsRequest{}) {
		require.NoError(t, r.Err)
		require.Equal(t, "api", r.Instance)
	}
	_, err = client.GetOrder(t.Context(), &orderv1.GetOrderRequest{}, aegis.ToInstance("worker"))
	require.Equal(t, aegis.ReasonNoMethod, asError(t, err).Reason())
}
