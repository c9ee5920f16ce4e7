package aegis_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// zoneService answers at once, unless it is to hold its calls, and to say that it does.
type zoneService struct{ held, hold chan struct{} }

func (z zoneService) Near(ctx context.Context, _ *testv1.NearRequest) (*testv1.NearResponse, error) {
	if z.hold != nil {
		z.held <- struct{}{}
		select {
		case <-z.hold:
		case <-ctx.Done():
		}
	}
	return &testv1.NearResponse{InstanceName: instanceOf(ctx)}, nil
}

const zoneName = aegistestv1aegis.ZoneServiceName

// serveZone serves ZoneService under a name, on a connection of its own in a zone.
func serveZone(t *testing.T, conn *aegis.Conn, name, zone string, impl zoneService) {
	t.Helper()
	aegistest.Serve(t, another(t, conn, aegis.WithZone(zone)), func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterZoneServiceServer(srv, impl)
	}, aegis.WithInstance(name))
}

func newZoneClient(t *testing.T, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.ZoneServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewZoneServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

// nearest returns the zones of the instances that answer 50 calls.
func nearest(t *testing.T, client aegistestv1aegis.ZoneServiceClient, opts ...aegis.CallOption) map[string]int {
	t.Helper()
	zones := map[string]int{}
	for range 50 {
		res, err := client.Near(t.Context(), &testv1.NearRequest{}, opts...)
		require.NoError(t, err)
		zone, _, _ := strings.Cut(res.GetInstanceName(), "-")
		zones[zone]++
	}
	return zones
}

func TestCallsOfAMethodWithPreferZoneStayInTheZoneOfTheCaller(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"a-1", "a-2", "b-1", "b-2"} {
		serveZone(t, conn, name, name[:1], zoneService{})
	}
	for _, zone := range []string{"a", "b"} {
		caller := another(t, conn, aegis.WithZone(zone))
		shows(t, caller, zoneName, "a-1 RUNNING", "a-2 RUNNING", "b-1 RUNNING", "b-2 RUNNING")
		require.Equal(t, map[string]int{zone: 50}, nearest(t, newZoneClient(t, caller)))
		require.Len(t, nearest(t, newZoneClient(t, caller), aegis.RoundRobin()), 2, "an option of the call wins")
	}
	require.Len(t, nearest(t, newZoneClient(t, another(t, conn))), 2, "a caller without a zone")
	require.Len(t, nearest(t, newZoneClient(t, another(t, conn), aegis.PreferZone())), 2, "the same, by an option")
}

func TestDefaultPatternMayPreferTheZone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := probeWith(t, &aegisv1.ServiceOptions{DefaultPattern: &aegisv1.ServiceOptions_LoadBalanced{LoadBalanced: &aegisv1.LoadBalanced{PreferZone: true}}}, nil)
	for _, name := range []string{"a", "b"} {
		serveProbe(t, another(t, conn, aegis.WithZone(name)), desc, name, probe{})
	}
	caller := another(t, conn, aegis.WithZone("b"))
	shows(t, caller, probeName, "a RUNNING", "b RUNNING")
	client := newProbeClient(t, caller, desc)
	for range 50 {
		res, err := client.do.Call(t.Context(), doRequest(""))
		require.NoError(t, err)
		require.Equal(t, "b", res.GetInstanceName())
	}
}

func TestCallsGoToAnotherZoneWhileTheirsIsFull(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	held, hold := make(chan struct{}, 100), make(chan struct{})
	serveZone(t, conn, "a-1", "a", zoneService{held, hold})
	serveZone(t, conn, "b-1", "b", zoneService{})
	caller := another(t, conn, aegis.WithZone("a"))
	shows(t, caller, zoneName, "a-1 RUNNING", "b-1 RUNNING")
	client := newZoneClient(t, caller, aegis.PreferZone())
	var calls []<-chan result[*testv1.NearResponse]
	for range 2 {
		calls = append(calls, async(func() (*testv1.NearResponse, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return client.Near(ctx, &testv1.NearRequest{}, aegis.ToInstance("a-1"))
		}))
		receive(t, "a call is held", held)
	}
	require.Equal(t, map[string]int{"b": 50}, nearest(t, client))
	close(hold)
	for _, c := range calls {
		require.NoError(t, receive(t, "a held call ends", c).err)
	}
	eventually(t, "the zone is used again", func() bool {
		res, err := client.Near(t.Context(), &testv1.NearRequest{})
		return err == nil && res.GetInstanceName() == "a-1"
	})
}

func TestAnInstanceSaysWhereItRuns(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	said := another(t, conn, aegis.WithZone("eu-1a"), aegis.WithNode("node-7"), aegis.WithBuild("v1.4.0"), aegis.WithInstance("one"),
		aegis.WithLabels(map[string]string{"team": "orders", "tier": "gold"}), aegis.WithLabels(map[string]string{"tier": "silver"}))
	serve(t, said, probe{})
	serve(t, said, probe{}, aegis.WithInstance("two"))
	shows(t, conn, probeName, "one RUNNING", "two RUNNING")
	instances, err := conn.Instances(t.Context(), probeName)
	require.NoError(t, err)
	for _, i := range instances {
		require.Equal(t, []string{"eu-1a", "node-7", "v1.4.0"}, []string{i.Zone, i.Node, i.Build})
		require.Equal(t, map[string]string{"team": "orders", "tier": "silver"}, i.Labels)
		require.False(t, i.Reserved)
	}
	for _, p := range askMicro[micro.Ping](t, plain(t, conn), micro.PingVerb, microProbe, "", 2) {
		require.Equal(t, []string{"eu-1a", "node-7", "v1.4.0"}, []string{p.Metadata["zone"], p.Metadata["node"], p.Metadata["build"]})
		require.Equal(t, []string{"orders", "silver"}, []string{p.Metadata["label.team"], p.Metadata["label.tier"]})
		require.NotContains(t, p.Metadata, "reserved")
	}
}

func TestInvalidOriginsAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	many := map[string]string{}
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		many[string(c)] = ""
	}
	for name, opt := range map[string]aegis.ConnOption{
		"control character": aegis.WithZone("a\nb"),
		"no UTF-8":          aegis.WithNode("\xff"),
		"too long":          aegis.WithBuild(strings.Repeat("x", 254)),
		"key with a space":  aegis.WithLabels(map[string]string{"a b": "c"}),
		"key with =":        aegis.WithLabels(map[string]string{"a=b": "c"}),
		"empty key":         aegis.WithLabels(map[string]string{"": "c"}),
		"too many labels":   aegis.WithLabels(many),
		"too much in all": aegis.WithLabels(map[string]string{
			"a": strings.Repeat("x", 253), "b": strings.Repeat("x", 253), "c": strings.Repeat("x", 253), "d": strings.Repeat("x", 253),
			strings.Repeat("e", 317): "", strings.Repeat("f", 317): "", strings.Repeat("g", 317): "", strings.Repeat("h", 317): "",
			strings.Repeat("i", 317): "", strings.Repeat("j", 317): "", strings.Repeat("k", 317): "", strings.Repeat("l", 317): "",
			strings.Repeat("m", 317): "", strings.Repeat("n", 317): "",
		}),
		"instance": aegis.WithInstance("a b"),
	} {
		_, err := aegis.NewConn(conn.NATS(), silent(), opt)
		require.ErrorIs(t, err, aegis.ErrInvalidOption, name)
	}
}

func TestWhereLabelCallsTheInstancesThatHaveIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, another(t, conn, aegis.WithLabels(map[string]string{"version": "blue"})), probe{}, aegis.WithInstance("blue"))
	serve(t, another(t, conn, aegis.WithLabels(map[string]string{"version": "green"})), probe{}, aegis.WithInstance("green"))
	caller := another(t, conn)
	shows(t, caller, probeName, "blue RUNNING", "green RUNNING")
	client := newClient(t, caller)
	for _, name := range []string{"blue", "green"} {
		where := aegis.WhereLabel("version", name)
		for range 20 {
			res, err := client.Do(t.Context(), doRequest(""), where)
			require.NoError(t, err)
			require.Equal(t, name, res.GetInstanceName())
		}
	}
	_, err := client.Do(t.Context(), doRequest(""), aegis.WhereLabel("version", "red"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.ErrorContains(t, err, "of the 2 known of "+probeName+", none has the label version=red, ")
	require.ErrorContains(t, err, "(blue has version=blue; green has version=green)")
	_, err = client.Do(t.Context(), doRequest(""), aegis.WhereLabel("", "red"))
	require.ErrorContains(t, err, "the key of the label is empty")
}

// A developer's instance beside those that serve: only who asks for it gets it.
func TestAReservedInstanceTakesOnlyCallsThatChooseIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, aegis.WithInstance("serving"))
	mine := another(t, conn, aegis.WithReserved(), aegis.WithInstance("mine"), aegis.WithLabels(map[string]string{"developer": "anna"}))
	serve(t, mine, probe{})
	caller := another(t, conn)
	shows(t, caller, probeName, "mine RUNNING", "serving RUNNING")
	client := newClient(t, caller)
	for name, opt := range map[string]aegis.CallOption{
		"queue group": aegis.QueueGroup(), "round robin": aegis.RoundRobin(), "random": aegis.Random(),
		"least loaded": aegis.LeastLoaded(), "sticky": aegis.StickyKey("key"),
	} {
		for range 10 {
			res, err := client.Do(t.Context(), doRequest(""), opt)
			require.NoError(t, err)
			require.Equal(t, "serving", res.GetInstanceName(), name)
		}
	}
	for name, opt := range map[string]aegis.CallOption{"label": aegis.WhereLabel("developer", "anna"), "name": aegis.ToInstance("mine")} {
		res, err := client.Do(t.Context(), doRequest(""), opt)
		require.NoError(t, err)
		require.Equal(t, "mine", res.GetInstanceName(), name)
	}
}

func TestAReservedInstanceLeadsAndWorksNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	reserved := another(t, conn, aegis.WithReserved())
	var stolen diary
	aegistest.Serve(t, reserved, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterBroadcastServiceServer(srv, tellFunc(func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
				stolen.notef("a broadcast")
				return &testv1.TellResponse{}, nil
			})),
			registerJobs(jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
				stolen.notef("a command")
				return &testv1.WorkResponse{}, nil
			}})(srv),
			orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "mine"}, fast),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
				stolen.notef("an event")
				return nil
			}}, aegis.Compete("g")),
		)
	}, aegis.WithInstance("mine"))
	shows(t, conn, orderv1aegis.OrderServiceName, "mine RUNNING")

	serveTell(t, conn, "serving", func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		return &testv1.TellResponse{InstanceName: instanceOf(ctx)}, nil
	})
	worker(t, conn, jobs{})
	var heard diary
	subscribe(t, conn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
		heard.notef("an event")
		return nil
	}}, nil, aegis.Compete("g"))
	known(t, conn, teller, 2)
	client, pub := newJobClient(t, conn), newPublisher(t, conn)
	for range 20 {
		_, err := outcome(t.Context(), send(t, client, "text"))
		require.NoError(t, err)
		mustStore(t, pub, "text")
	}
	replies, err := collect(t, newTeller(t, conn))
	require.NoError(t, err)
	require.Len(t, replies, 1)
	require.Equal(t, "serving", replies[0].Instance)
	eventually(t, "all events come", func() bool { return heard.count("an event") == 20 })
	require.Empty(t, stolen.all())

	orders, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	_, err = orders.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{}, aegis.ToInstance("mine"))
	require.ErrorIs(t, err, aegis.ErrNotActive)
	subscribers, err := conn.Instances(t.Context(), aegis.Subscribers(eventService))
	require.NoError(t, err)
	require.Len(t, subscribers, 1, "who takes no events is no subscriber")
}
