package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/spec"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// fetched are descriptors as a client gets them.
type fetched struct {
	*descset.Set

	slices int
}

// fetchDescriptors gets the descriptors of a service as docs/protocol.md says: hash is "any",
// or the hash of one version.
func fetchDescriptors(nc *nats.Conn, service, hash string) (*fetched, error) {
	var data []byte
	for slices := 1; ; slices++ {
		var body []byte
		if len(data) > 0 {
			body = fmt.Appendf(nil, `{"offset":%d}`, len(data))
		}
		msg, err := nc.Request("aegis.desc."+service+"."+hash, body, patience)
		if err != nil {
			return nil, err
		}
		if text := msg.Header.Get("Nats-Service-Error"); text != "" {
			return nil, fmt.Errorf("%s: %s", msg.Header.Get("Nats-Service-Error-Code"), text)
		}
		hash = msg.Header.Get("Aegis-Descriptors")
		size, err := strconv.Atoi(msg.Header.Get("Aegis-Descriptors-Size"))
		if err != nil {
			return nil, err
		}
		if data = append(data, msg.Data...); len(data) == size {
			set, err := descset.Decode(data, hash)
			return &fetched{set, slices}, err
		}
	}
}

func mustFetch(t testing.TB, nc *nats.Conn, service, hash string) *fetched {
	t.Helper()
	set, err := fetchDescriptors(nc, service, hash)
	require.NoError(t, err)
	return set
}

func TestServersServeTheirDescriptors(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"})
	nc := plain(t, a.conn)
	set := mustFetch(t, nc, orderv1aegis.OrderServiceName, "any")
	require.Equal(t, 1, set.slices)
	require.Equal(t, set.Encoded(), mustFetch(t, nc, orderv1aegis.OrderServiceName, set.Hash()).Encoded())

	service, err := set.Service(orderv1aegis.OrderServiceName)
	require.NoError(t, err)
	linked := orderv1.File_order_v1_order_proto
	require.True(t, proto.Equal(protodesc.ToServiceDescriptorProto(linked.Services().Get(0)), protodesc.ToServiceDescriptorProto(service)))
	read, err := spec.FromDescriptor(service)
	require.NoError(t, err)
	require.Equal(t, spec.SingleActive, read.Method("PlaceOrder").Pattern)

	comments := service.ParentFile().SourceLocations()
	require.Contains(t, comments.ByDescriptor(service).LeadingComments, " OrderService keeps one order book")
	require.Equal(t, " ListOrders returns the accepted orders in the order of their sequence.\n",
		comments.ByDescriptor(service.Methods().ByName("ListOrders")).LeadingComments)
	order := service.ParentFile().Messages().ByName("Order")
	require.Equal(t, " What is bought or sold.\n", comments.ByDescriptor(order.Fields().ByName("symbol")).LeadingComments)
	require.Equal(t, " To buy.\n", comments.ByDescriptor(service.ParentFile().Enums().Get(0).Values().ByName("SIDE_BUY")).LeadingComments)

	instances, err := a.conn.Instances(t.Context(), orderv1aegis.OrderServiceName)
	require.NoError(t, err)
	require.Len(t, instances, 1)
	require.Equal(t, set.Hash(), instances[0].Descriptors)

	_, err = fetchDescriptors(nc, orderv1aegis.OrderServiceName, strings.Repeat("0", 32))
	require.ErrorIs(t, err, nats.ErrNoResponders, "at once, as nobody has that version")
	_, err = fetchDescriptors(nc, "order.v1.OtherService", "any")
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.NoError(t, a.stop())
	_, err = fetchDescriptors(nc, orderv1aegis.OrderServiceName, set.Hash())
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestDescriptorsComeInSlices(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte("max_payload: 4096\njetstream: enabled\n"), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	a := stand(t, n, &desk{name: "a"})
	stand(t, n, &desk{name: "b"})
	set := mustFetch(t, plain(t, a.conn), orderv1aegis.OrderServiceName, "any")
	require.Equal(t, (len(set.Encoded())+2047)/2048, set.slices, "half of max_payload at once")
	require.Greater(t, set.slices, 2)
}

// serveVersion serves BoundedService with a proto of its own, which differs in a comment.
func serveVersion(t *testing.T, conn *aegis.Conn, comment, instance string) running {
	t.Helper()
	service := aegis.Documented(testv1.File_aegistest_v1_testing_proto.Services().ByName("BoundedService"),
		[]aegis.Comment{{Name: "BoundedService", Text: comment}})
	srv, err := aegis.NewServer(conn, aegis.WithInstance(instance))
	require.NoError(t, err)
	require.NoError(t, aegis.RegisterService(srv, service, aegistestv1aegis.BoundedServiceServer(bounded{}),
		[]aegis.Handler[aegistestv1aegis.BoundedServiceServer]{aegis.UnaryHandler("Hold", aegistestv1aegis.BoundedServiceServer.Hold)}))
	return runServer(t, srv)
}

func TestEachVersionServesItsOwnDescriptors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	nc := plain(t, conn)
	older := serveVersion(t, conn, "Version 1.", "one")
	serveVersion(t, another(t, conn), "Version 2.", "two")
	hashes := make(map[string]string)
	eventually(t, "the registry has both", func() bool {
		instances, err := conn.Instances(t.Context(), boundedName)
		require.NoError(t, err)
		for _, i := range instances {
			hashes[i.Name] = i.Descriptors
		}
		return hashes["one"] != "" && hashes["two"] != ""
	})
	require.NotEqual(t, hashes["one"], hashes["two"])
	for range 10 {
		require.Equal(t, "Version 1.", commentOf(t, mustFetch(t, nc, boundedName, hashes["one"])))
		require.Equal(t, "Version 2.", commentOf(t, mustFetch(t, nc, boundedName, hashes["two"])))
		require.Contains(t, []string{hashes["one"], hashes["two"]}, mustFetch(t, nc, boundedName, "any").Hash())
	}
	older.end(t)
	_, err := fetchDescriptors(nc, boundedName, hashes["one"])
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.Equal(t, hashes["two"], mustFetch(t, nc, boundedName, "any").Hash())
}

const boundedName = "aegistest.v1.BoundedService"

func commentOf(t *testing.T, set *fetched) string {
	t.Helper()
	service, err := set.Service(boundedName)
	require.NoError(t, err)
	return strings.TrimSpace(service.ParentFile().SourceLocations().ByDescriptor(service).LeadingComments)
}

// Whatever a request for descriptors has in it, there is an answer, and calls go on.
func TestBadRequestsForDescriptorsAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	serve(t, conn, probe{}, log.option())
	nc := plain(t, conn)
	set := mustFetch(t, nc, probeName, "any")
	size := len(set.Encoded())
	for body, want := range map[string]string{
		"x":                                "3: ",
		"{":                                "3: ",
		"[1]":                              "3: ",
		`{"offset":"1"}`:                   "3: ",
		`{"offset":1.5}`:                   "3: ",
		`{"offset":1e300}`:                 "3: ",
		`{"offset":-1}`:                    "3: the offset -1 is negative",
		`{"offset":-9223372036854775808}`:  "3: the offset -9223372036854775808 is negative",
		fmt.Sprintf(`{"offset":%d}`, size): fmt.Sprintf("11: the offset %d is behind the end: the descriptors have %d bytes", size, size),
		`{"offset":9223372036854775807}`:   "11: ",
		strings.Repeat(" ", 1<<20-1000):    "3: ",
	} {
		msg, err := nc.Request("aegis.desc."+probeName+"."+set.Hash(), []byte(body), patience)
		require.NoError(t, err)
		got := msg.Header.Get("Nats-Service-Error-Code") + ": " + msg.Header.Get("Nats-Service-Error")
		require.True(t, strings.HasPrefix(got, want), "%.40q gets %q", body, got)
		require.NotEmpty(t, msg.Header.Get("Aegis-Instance"))
	}
	for body, from := range map[string]int{``: 0, `{}`: 0, `{"offset":0,"later":true}`: 0, fmt.Sprintf(`{"offset":%d}`, size-1): size - 1} {
		msg, err := nc.Request("aegis.desc."+probeName+".any", []byte(body), patience)
		require.NoError(t, err)
		require.Equal(t, set.Encoded()[from:], msg.Data, body)
	}
	require.NoError(t, nc.Publish("aegis.desc."+probeName+".any", nil)) // nobody waits for the answer
	eventually(t, "it is told", func() bool { return log.count("a request without a reply subject is dropped") == 1 })
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
}

func TestServerThatMayNotServeDescriptorsServesCalls(t *testing.T) {
	t.Parallel()
	connectAs := startWithUsers(t)
	var log logs
	serve(t, connectAs("reticent", log.option()), probe{}, log.option())
	_, err := newClient(t, connectAs("client")).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	complaints := log.complaints()
	require.Len(t, complaints, 1)
	require.Contains(t, complaints[0], "may not subscribe to requests for descriptors")
	require.Contains(t, complaints[0], "aegis.desc."+probeName+".any")
}

// Of a connection that the program has made nobody hears the errors.
func TestServerOnAUsersConnectionThatMayNotServeDescriptorsSaysSo(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(startWithPermissions(t)("reticent"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	conn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	var log logs
	serve(t, conn, probe{}, log.option())
	require.Equal(t, 1, log.count("may not subscribe to requests for descriptors"))
}

func TestDescriptorsNeedNoJetStream(t *testing.T) {
	t.Parallel()
	nats := startRestartable(t)
	conn := connectTo(t, nats.url)
	serve(t, conn, probe{})
	set := mustFetch(t, plain(t, conn), probeName, "any")
	instances, err := conn.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.Len(t, instances, 1)
	require.Equal(t, set.Hash(), instances[0].Descriptors)
	nats.down(conn)
	nats.up()
	eventually(t, "they are served after a reconnect", func() bool {
		again, err := fetchDescriptors(conn.NATS(), probeName, set.Hash())
		return err == nil && again.Hash() == set.Hash()
	})
}

func TestSubscribersServeTheDescriptorsOfTheirEvents(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, named("a"), aegis.Compete("g"))
	set := mustFetch(t, plain(t, conn), eventName, "any")
	_, err := set.Service(eventName)
	require.NoError(t, err)
	instances, err := conn.Instances(t.Context(), aegis.Subscribers(eventName))
	require.NoError(t, err)
	require.Len(t, instances, 1)
	require.Equal(t, set.Hash(), instances[0].Descriptors)
	info := askMicro[micro.Info](t, plain(t, conn), micro.InfoVerb, "aegistest-v1-EventService-events", "", 1)[0]
	require.Equal(t, set.Hash(), info.Metadata["descriptors"])
	require.Equal(t, "aegistest.v1.StoredRequest", info.Endpoints[0].Metadata["request"])
}

const eventName = "aegistest.v1.EventService"

func TestMicroToolsSeeWhatAMethodIsFor(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"})
	nc := plain(t, a.conn)
	info := askMicro[micro.Info](t, nc, micro.InfoVerb, "order-v1-OrderService", "", 1)[0]
	require.Contains(t, info.Description, "OrderService keeps one order book")
	require.Equal(t, mustFetch(t, nc, orderv1aegis.OrderServiceName, "any").Hash(), info.Metadata["descriptors"])
	for _, e := range info.Endpoints {
		if e.Name == "PlaceOrder" {
			require.Equal(t, map[string]string{
				"pattern": "single_active", "group": "default",
				"request": "order.v1.PlaceOrderRequest", "response": "order.v1.PlaceOrderResponse",
				"description": "PlaceOrder accepts an order. Placing an order again under the same id\n" +
					"returns what the first one returned, so a caller that does not know what\n" +
					"became of its call may repeat it; under that id another order is refused\n" +
					"(ALREADY_EXISTS). UNAVAILABLE and ABORTED mean to call again.",
			}, e.Metadata)
			return
		}
	}
	t.Fatal("PlaceOrder is missing")
}

// An answer with all descriptions may be too large for NATS.
func TestMicroToolsSeeServicesWithLongComments(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte("max_payload: 2500\njetstream: enabled\n"), 0o600))
	conn := aegistest.StartNATSWithConfig(t, path).Connect(t, silent())
	long := strings.Repeat("ö", 3000)
	service := aegis.Documented(testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService"), []aegis.Comment{
		{Name: "ProbeService", Text: "short"}, {Name: "ProbeService.Do", Text: long}, {Name: "ProbeService.Get", Text: long}, {Name: "ProbeService.Quick", Text: long},
	})
	type server = aegistestv1aegis.ProbeServiceServer
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegis.RegisterService(srv, service, server(probe{}), []aegis.Handler[server]{
			aegis.UnaryHandler("Do", server.Do), aegis.UnaryHandler("Get", server.Get), aegis.UnaryHandler("Quick", server.Quick),
		})
	})
	info := askMicro[micro.Info](t, plain(t, conn), micro.InfoVerb, microProbe, "", 1)[0]
	require.Equal(t, "short", info.Description)
	require.Len(t, info.Endpoints, 3)
	require.NotContains(t, info.Endpoints[0].Metadata, "description")
	require.Equal(t, "aegistest.v1.DoRequest", info.Endpoints[0].Metadata["request"])
}

// The files of messages and of services may be of different versions.
func TestDocumentedServiceMayBeMissing(t *testing.T) {
	t.Parallel()
	none := testv1.File_aegistest_v1_testing_proto.Services().ByName("NoSuchService")
	require.Nil(t, aegis.Documented(none, []aegis.Comment{{Name: "NoSuchService", Text: "x"}}))
	_, err := aegis.NewClient(connect(t), aegis.Documented(none, nil))
	require.ErrorContains(t, err, "the service's descriptor is missing")
}

func TestServersOfManyServicesServeAll(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterBoundedServiceServer(srv, bounded{}),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, handlers{Stored: new(diary).stored}, aegis.Compete("g")))
	})
	nc := plain(t, conn)
	for _, name := range []string{probeName, boundedName, eventName} {
		_, err := mustFetch(t, nc, name, "any").Service(name)
		require.NoError(t, err)
	}
}
