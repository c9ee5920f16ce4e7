package aegisreflect_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// From nothing but the name of a service, over the wire.
func TestServiceIsFoundByNameAndCalled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveOrders(t, conn, aegis.WithInstance("a"))
	caller := another(t, conn)
	r := aegisreflect.New(caller)
	orders, err := r.Service(within(t), orderService)
	require.NoError(t, err)
	instances, err := caller.Instances(within(t), orderService)
	require.NoError(t, err)
	require.Equal(t, instances[0].Descriptors, orders.Hash())
	require.Equal(t, "OrderService keeps one order book, however many processes serve it: of them\nonly the elected leader changes the book.",
		aegisreflect.Comment(orders.Descriptor()))

	place := find(t, r, orderService, "PlaceOrder")
	require.Same(t, orders, place.Service())
	require.True(t, strings.HasPrefix(aegisreflect.Comment(place.Descriptor()), "PlaceOrder accepts an order."))
	require.Equal(t, "The id that the caller chose.", aegisreflect.Comment(place.Descriptor().Output().Fields().ByName("order").Message().Fields().ByName("id")))
	_, err = place.Call(within(t), request(t, place, `{"id": "1", "symbol": "AEG", "side": "SIDE_BUY", "quantity": 5, "priceCents": 100}`))
	require.NoError(t, err)

	watch := find(t, r, orderService, "WatchOrders")
	in, err := watch.Stream(within(t), watch.NewRequest())
	require.NoError(t, err)
	msg, err := in.Recv()
	require.NoError(t, err)
	require.Contains(t, text(t, watch, msg), `"id":"1"`)
	require.NoError(t, in.Close())

	placed := find(t, r, orderService, "OrderPlaced")
	var o *aegisreflect.Observer
	eventually(t, "the first event makes the stream", func() bool {
		o, err = placed.Observe(within(t), aegis.StartAll())
		return aegis.CodeOf(err) != aegis.CodeNotFound
	})
	require.NoError(t, err)
	defer o.Close()
	e, err := o.Recv()
	require.NoError(t, err)
	require.Contains(t, text(t, watch, e.Message), `"id":"1"`)

	reconcile := find(t, r, orderService, "ReconcileBook")
	sent, err := reconcile.Send(within(t), reconcile.NewRequest())
	require.NoError(t, err)
	res, err := sent.Result(within(t))
	require.NoError(t, err)
	require.Contains(t, text(t, reconcile, res), `"orders":"1"`)
}

// The descriptors of a reserved instance are for those who name them, or have no others.
func TestAReservedInstanceSendsItsDescriptorsToThoseAlone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, another(t, conn, aegis.WithReserved()), registerProbe, aegis.WithInstance("mine"))
	anybody := wire.NewSubjects(conn.Namespace()).Descriptors(probeService, wire.AnyDescriptors)
	_, err := conn.NATS().RequestWithContext(within(t), anybody, nil)
	require.ErrorIs(t, err, nats.ErrNoResponders)

	r := aegisreflect.New(another(t, conn))
	do := find(t, r, probeService, "Do") // there are no other descriptors
	res, err := do.Call(within(t), request(t, do, `{"text": "hi"}`), aegis.ToInstance("mine"))
	require.NoError(t, err)
	require.JSONEq(t, `{"text": "hi"}`, text(t, do, res))

	other := encoded(t, probeDescriptor())
	lie(t, conn, probeService, &liar{data: other.Encoded()})
	serving, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Equal(t, other.Hash(), serving.Hash(), "there are others")
	own, err := r.ServiceByHash(within(t), probeService, do.Service().Hash())
	require.NoError(t, err)
	require.Same(t, do.Service(), own)
}

// A server that stops and another one that has other descriptors.
func TestRestartWithOtherDescriptorsIsNoticed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	stop := run(t, another(t, conn), registerProbe)
	r := aegisreflect.New(conn)
	before, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	stop()
	_, err = r.Service(within(t), probeService)
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
	other := encoded(t, probeDescriptor())
	require.NotEqual(t, before.Hash(), other.Hash())
	l := &liar{data: other.Encoded()}
	lie(t, conn, probeService, l)
	after, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Equal(t, other.Hash(), after.Hash())
	l.stopped()
	serveProbe(t, another(t, conn))
	back, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Same(t, before, back)
}

// What servers keep is enough when they are gone; a dynamic client keeps nothing else.
func TestDescriptorsThatServersKeptAreFound(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	own := another(t, conn)
	stop := run(t, own, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: func(context.Context, *testv1.StoredRequest) error { return nil },
		}, aegis.Compete("g"))
	})
	served, err := aegisreflect.New(conn).Service(within(t), eventService)
	require.NoError(t, err)
	kept := func() string {
		stream, err := conn.JetStream().Stream(within(t), wire.EventStream("aegis", eventService))
		require.NoError(t, err)
		return stream.CachedInfo().Config.Metadata[wire.DescriptorsKey]
	}
	eventually(t, "the descriptors are kept", func() bool { return kept() == served.Hash() })
	stop()

	other := another(t, conn)
	r := aegisreflect.New(other)
	stored := find(t, r, eventService, "Stored")
	require.Equal(t, served.Hash(), stored.Service().Hash())
	_, err = stored.Publish(within(t), request(t, stored, `{"text": "later"}`))
	require.NoError(t, err)
	o := observe(t, stored, aegis.StartAll())
	_, got := next(t, stored, o)
	require.JSONEq(t, `{"text":"later"}`, got)
	byHash, err := aegisreflect.New(other).ServiceByHash(within(t), eventService, served.Hash())
	require.NoError(t, err)
	require.Equal(t, stored.Service().Hash(), byHash.Hash())
	require.Equal(t, served.Hash(), kept())
}

// A dynamic client must not have its descriptors, which lack the comments or may be old,
// served by the servers of its connection, nor kept with what it stores.
func TestServerServesItsOwnDescriptorsBesideADynamicClient(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	do, stored := find(t, linked(conn), probeService, "Do"), find(t, linked(conn), eventService, "Stored")
	_, err := do.Call(within(t), do.NewRequest())
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	_, err = stored.Publish(within(t), stored.NewRequest())
	require.NoError(t, err)
	serveProbe(t, conn)
	do = find(t, aegisreflect.New(conn), probeService, "Do")
	require.Equal(t, "Do has the defaults.", aegisreflect.Comment(do.Descriptor()))
}

const permissions = `
accounts: {
  A: {
    jetstream: enabled
    users: [
      {user: all, password: pw}
      {user: noreflection, password: pw, permissions: {subscribe: {deny: ["aegis.desc.>"]}}}
      {user: noask, password: pw, permissions: {publish: {deny: ["aegis.desc.>"]}}}
      {user: noevents, password: pw, permissions: {publish: {deny: ["$JS.API.CONSUMER.CREATE.>"]}, subscribe: {deny: ["aegis.evt.>"]}}}
      {user: nojetstream, password: pw, permissions: {publish: {deny: ["$JS.>"]}}}
      {user: reader, password: pw, permissions: {
        publish: ["aegis.desc.aegistest.v1.EventService.*", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.KV_aegis-descriptors",
          "$JS.API.CONSUMER.CREATE.EVENTS.>", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.>", "$JS.API.CONSUMER.DELETE.EVENTS.>"]
        subscribe: ["_INBOX.>", "aegis.evt.aegistest.v1.EventService.*"]
      }}
    ]
  }
}
`

// withUsers starts a NATS server with users, and returns a function that connects as one.
func withUsers(t *testing.T) func(user string) *aegis.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(permissions, "EVENTS", wire.EventStream("aegis", eventService))), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	return func(user string) *aegis.Conn {
		conn, err := aegis.Connect(t.Context(), strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), silent())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
		return conn
	}
}

// The permissions that docs/reflection.md lists are enough.
func TestDocumentedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	as := withUsers(t)
	all := as("all")
	stop := run(t, all, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: func(context.Context, *testv1.StoredRequest) error { return nil },
		}, aegis.Compete("g"))
	})
	reader := as("reader")
	served := find(t, aegisreflect.New(reader), eventService, "Stored")
	eventually(t, "the descriptors are kept", func() bool {
		stream, err := all.JetStream().Stream(within(t), wire.EventStream("aegis", eventService))
		require.NoError(t, err)
		return stream.CachedInfo().Config.Metadata[wire.DescriptorsKey] != ""
	})
	stop()
	r := aegisreflect.New(reader)
	stored, core := find(t, r, eventService, "Stored"), find(t, r, eventService, "Core")
	require.Equal(t, served.Service().Hash(), stored.Service().Hash())
	o, plain := observe(t, stored, aegis.StartAll()), observe(t, core, aegis.StartNew())
	pub, err := aegistestv1aegis.NewEventServicePublisher(all)
	require.NoError(t, err)
	_, err = pub.Stored(within(t), storedEvent("x"))
	require.NoError(t, err)
	_, got := next(t, stored, o)
	require.JSONEq(t, `{"text":"x"}`, got)
	require.NoError(t, pub.Core(within(t), &testv1.CoreRequest{Text: "y"}))
	_, got = next(t, core, plain)
	require.JSONEq(t, `{"text":"y"}`, got)
	o.Close()
	stream, err := all.JetStream().Stream(within(t), wire.EventStream("aegis", eventService))
	require.NoError(t, err)
	require.Equal(t, 1, stream.CachedInfo().State.Consumers, "that of the group")
}

func TestPermissionsThatAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	as := withUsers(t)
	serveProbe(t, as("noreflection"))
	_, err := aegisreflect.New(as("all")).Service(within(t), probeService)
	require.ErrorIs(t, err, aegisreflect.ErrNoReflection)
	require.ErrorContains(t, err, probeService)
	require.Equal(t, aegis.CodeUnimplemented, aegis.CodeOf(err))

	denied := as("noask")
	for range 2 { // the second denial is found as well
		_, err = aegisreflect.New(denied).Service(within(t), probeService)
		require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
		require.ErrorContains(t, err, "publish to aegis.desc.aegistest.v1.ProbeService.any")
	}

	_, err = aegisreflect.New(as("reader")).Service(within(t), "aegistest.v1.EventServic")
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	_, err = aegisreflect.New(as("nojetstream")).Service(within(t), "aegistest.v1.ProbeServic")
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
	require.ErrorContains(t, err, "whether something of it is stored is not known: PERMISSION_DENIED")

	r := linked(as("noevents"))
	stored, core := find(t, r, eventService, "Stored"), find(t, r, eventService, "Core")
	_, err = core.Observe(within(t), aegis.StartNew())
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, err, "subscribe to aegis.evt.aegistest.v1.EventService.Core")
	_, err = stored.Publish(within(t), stored.NewRequest())
	require.NoError(t, err)
	_, err = stored.Observe(within(t), aegis.StartNew())
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, err, "$JS.API.CONSUMER.CREATE")
}

// Descriptors are read where the connection keeps what is stored.
func TestNamespaceOfTheConnectionCounts(t *testing.T) {
	t.Parallel()
	conn := connect(t, aegis.WithNamespace("shop"))
	require.Equal(t, "shop", conn.Namespace())
	stream := jetstream.StreamConfig{Name: wire.EventStream("shop", eventService), Subjects: []string{wire.NewSubjects("shop").LogAll(eventService, "")}}
	_, err := conn.JetStream().CreateStream(within(t), stream)
	require.NoError(t, err)
	set := encoded(t, testv1.File_aegistest_v1_events_proto.Services().ByName("EventService"))
	keep(t, conn, stream.Name, set.Hash(), set.Encoded())
	require.Equal(t, set.Hash(), find(t, aegisreflect.New(conn), eventService, "Core").Service().Hash())
	_, err = aegisreflect.New(another(t, conn)).Service(within(t), eventService)
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
}
