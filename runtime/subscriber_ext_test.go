package aegis_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Two processes shared the consumer of their one name, and so the events that
// each of them was to get.
func TestSubscribersThatEachGetAllCannotShareAName(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var got diary
	subscribe(t, another(t, conn), handlers{Stored: got.stored}, named("one"), aegis.EachInstance())
	second, err := aegis.NewServer(another(t, conn), aegis.WithInstance("one"))
	require.NoError(t, err)
	require.NoError(t, subscribeTo(second, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
		got.notef("by the second one")
		return nil
	}}, aegis.EachInstance()))
	err = second.Run(t.Context())
	require.ErrorIs(t, err, aegis.ErrInstanceTaken)
	require.ErrorContains(t, err, `is instance "one" of aegistest.v1.EventService`)
	pub := newPublisher(t, conn)
	var want []string
	for i := range 20 {
		mustStore(t, pub, strconv.Itoa(i))
		want = append(want, strconv.Itoa(i))
	}
	got.becomes(t, want...)
}

// The instances of two services may have one name, and so may two that compete.
func TestSubscribersThatCompeteMayShareAName(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	var got diary
	for _, group := range []string{"risk", "audit"} {
		subscribe(t, another(t, conn, log.option()), handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
			got.notef("%s %s", group, ev.GetText())
			return nil
		}}, append(named("host1"), log.option()), aegis.Compete(group))
	}
	known(t, conn, aegis.Subscribers(eventService), 1)
	mustStore(t, newPublisher(t, conn), "a")
	eventually(t, "both groups get it", func() bool { return got.count("risk a") == 1 && got.count("audit a") == 1 })
	require.Equal(t, 1, log.count("another process subscribes under the name"))
}

func TestSubscriberIsAnInstanceThatNobodyCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, another(t, conn), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, wholeDesk{&desk{name: "server"}})
	}, aegis.WithInstance("server"))
	// A subscriber may have the name of a server.
	for _, name := range []string{"server", "subscriber"} {
		aegistest.Serve(t, another(t, conn), func(srv *aegis.Server) error {
			return orderv1aegis.SubscribeOrderServiceEvents(srv, orderv1aegis.OrderServiceEvents{
				OrderPlaced: func(context.Context, *orderv1.OrderPlacedRequest) error { return nil },
			}, aegis.Compete("risk"))
		}, aegis.WithInstance(name))
	}
	known(t, conn, aegis.Subscribers(orderName), 2)
	known(t, conn, orderName, 1)
	subscribers, err := conn.Instances(t.Context(), aegis.Subscribers(orderName))
	require.NoError(t, err)
	require.Equal(t, orderName, subscribers[1].Service)
	require.Equal(t, "subscriber", subscribers[1].Name)
	require.True(t, subscribers[1].Subscriber)
	eventually(t, "it is heard", func() bool {
		all, err := conn.Instances(t.Context(), aegis.AllServices)
		require.NoError(t, err)
		heard := 0
		for _, i := range all {
			if _, ok := i.Health(); ok {
				heard++
			}
		}
		return len(all) == 3 && heard == 3
	})
	services, err := conn.Services(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{orderName}, services)

	client, err := orderv1aegis.NewOrderServiceClient(conn, aegis.RoundRobin())
	require.NoError(t, err)
	for range 10 {
		res, err := client.GetOrder(t.Context(), &orderv1.GetOrderRequest{}, aegis.MaxAttempts(1))
		require.NoError(t, err)
		require.Equal(t, "server", res.GetInstance())
	}
	var answered []string
	for r := range client.ReloadLimits(t.Context(), &orderv1.ReloadLimitsRequest{}) {
		require.NoError(t, r.Err)
		answered = append(answered, r.Instance)
	}
	require.Equal(t, []string{"server"}, answered)

	info := askMicro[micro.Info](t, plain(t, conn), micro.InfoVerb, "order-v1-OrderService-events", "", 2)[0]
	require.Len(t, info.Endpoints, 1)
	require.Equal(t, "OrderPlaced", info.Endpoints[0].Name)
	require.Equal(t, "durable_event", info.Endpoints[0].Metadata["pattern"])
	require.Equal(t, "risk", info.Endpoints[0].QueueGroup)
}

func TestSubscriberThatStopsIsGone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	s := subscriber(t, another(t, conn), handlers{Core: func(context.Context, *testv1.CoreRequest) error { return nil }}, named("a"), aegis.Compete("g"))
	known(t, conn, aegis.Subscribers(eventService), 1)
	s.end(t)
	known(t, conn, aegis.Subscribers(eventService), 0)
}

// Subscribers of before need no permissions for the registry.
func TestSubscriberWithoutTheRegistrysPermissionsWorks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization { users = [
		{user: sub, password: pw, permissions: {publish: ["aegis.live.*", "aegis.*._void.*", "_INBOX.>"], subscribe: ["aegis.evt.`+eventService+`.*", "aegis.live.*", "aegis.in.*.*", "_INBOX.>", "$SRV.>", "aegis.desc.`+eventService+`.* aegis"]}}
		{user: pub, password: pw, permissions: {publish: ["aegis.evt.>"], subscribe: ["_INBOX.>"]}} ] }`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	var log logs
	got := make(chan string, 1)
	aegistest.Serve(t, as("sub"), func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, handlers{Core: func(_ context.Context, ev *testv1.CoreRequest) error {
			got <- ev.GetText()
			return nil
		}}, aegis.Compete("g"))
	}, log.option())
	require.NoError(t, newPublisher(t, as("pub")).Core(t.Context(), &testv1.CoreRequest{Text: "hi"}))
	require.Equal(t, "hi", receive(t, "the event", got))
	require.Equal(t, 1, log.count("may not register the instance as a subscriber"))
	require.Zero(t, log.count("cannot be registered"))
}
