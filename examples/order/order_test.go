// Package order_test runs the order example over a real NATS server.
package order_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/book"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

// fast makes the very first leader come soon.
var fast = aegis.WithElection(election.Config{Lease: election.MinLease})

func register(t *testing.T, conn *aegis.Conn) func(*aegis.Server) error {
	t.Helper()
	service, err := book.NewService(conn, book.Config{})
	require.NoError(t, err)
	return func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, service, fast)
	}
}

func newClient(t *testing.T, nats *aegistest.NATS) orderv1aegis.OrderServiceClient {
	t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(nats.Connect(t))
	require.NoError(t, err)
	return client
}

func request(id string) *orderv1.PlaceOrderRequest {
	return &orderv1.PlaceOrderRequest{Id: id, Symbol: "AEGIS", Side: orderv1.Side_SIDE_SELL, Quantity: 3, PriceCents: 1250}
}

func listAll(t *testing.T, client orderv1aegis.OrderServiceClient) (all []*orderv1.Order) {
	t.Helper()
	for {
		page, err := client.ListOrders(t.Context(), &orderv1.ListOrdersRequest{After: uint64(len(all))})
		require.NoError(t, err)
		if len(page.GetOrders()) == 0 {
			return all
		}
		all = append(all, page.GetOrders()...)
	}
}

func TestService(t *testing.T) {
	nats := aegistest.StartNATS(t)
	conn := nats.Connect(t)
	aegistest.Serve(t, conn, register(t, conn), aegis.WithInstance("order-a"))
	client := newClient(t, nats)

	t.Run("PlacesAndLists", func(t *testing.T) { testPlaceAndList(t, client) })
	t.Run("PlacesTheSameOrderOnce", func(t *testing.T) { testSameOrder(t, client) })
	t.Run("RefusesWhatIsNoOrder", func(t *testing.T) { testInvalid(t, client) })
	t.Run("Pages", func(t *testing.T) { testPages(t, client) })
}

func testPlaceAndList(t *testing.T, client orderv1aegis.OrderServiceClient) {
	t.Helper()
	resp, err := client.PlaceOrder(t.Context(), request("first"))
	require.NoError(t, err)
	require.Equal(t, "order-a", resp.GetInstance())
	order := resp.GetOrder()
	require.NotZero(t, order.GetTerm())
	require.Equal(t, fmt.Sprint("first AEGIS SIDE_SELL 3 1250 ", 1), fmt.Sprint(order.GetId(), " ", order.GetSymbol(), " ", order.GetSide(), " ",
		order.GetQuantity(), " ", order.GetPriceCents(), " ", order.GetSequence()))
	all := listAll(t, client)
	require.Len(t, all, 1)
	require.Equal(t, order.String(), all[0].String())
}

func testSameOrder(t *testing.T, client orderv1aegis.OrderServiceClient) {
	t.Helper()
	first, err := client.PlaceOrder(t.Context(), request("same"))
	require.NoError(t, err)
	again, err := client.PlaceOrder(t.Context(), request("same"))
	require.NoError(t, err)
	require.Equal(t, first.GetOrder().String(), again.GetOrder().String())

	other := request("same")
	other.Quantity++
	_, err = client.PlaceOrder(t.Context(), other)
	require.Equal(t, aegis.CodeAlreadyExists, aegis.CodeOf(err), err)
	require.Len(t, listAll(t, client), 2)
}

func testInvalid(t *testing.T, client orderv1aegis.OrderServiceClient) {
	t.Helper()
	before := listAll(t, client)
	for want, change := range map[string]func(*orderv1.PlaceOrderRequest){
		"the id has 0 bytes":          func(r *orderv1.PlaceOrderRequest) { r.Id = "" },
		"the id has 65 bytes":         func(r *orderv1.PlaceOrderRequest) { r.Id = strings.Repeat("x", 65) },
		"the symbol has 0 bytes":      func(r *orderv1.PlaceOrderRequest) { r.Symbol = "" },
		"the symbol has 17 bytes":     func(r *orderv1.PlaceOrderRequest) { r.Symbol = strings.Repeat("x", 17) },
		"the side is SIDE_UNSPECIFIE": func(r *orderv1.PlaceOrderRequest) { r.Side = 0 },
		"the side is 3":               func(r *orderv1.PlaceOrderRequest) { r.Side = 3 },
		"the quantity is 0":           func(r *orderv1.PlaceOrderRequest) { r.Quantity = 0 },
		"the price is -1 cents":       func(r *orderv1.PlaceOrderRequest) { r.PriceCents = -1 },
	} {
		r := request("invalid")
		change(r)
		_, err := client.PlaceOrder(t.Context(), r)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), want)
		require.ErrorContains(t, err, want)
	}
	_, err := client.ListOrders(t.Context(), &orderv1.ListOrdersRequest{Limit: -1})
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), err)
	require.Len(t, listAll(t, client), len(before))
}

func testPages(t *testing.T, client orderv1aegis.OrderServiceClient) {
	t.Helper()
	count := uint64(len(listAll(t, client)))
	for ; count < 1001; count++ {
		_, err := client.PlaceOrder(t.Context(), request(fmt.Sprint("page-", count)))
		require.NoError(t, err)
	}
	for _, c := range []struct {
		after uint64
		limit int32
		want  []uint64 // the first, the last
	}{
		{0, 0, []uint64{1, 1000}},
		{0, 5000, []uint64{1, 1000}},
		{7, 2, []uint64{8, 9}},
		{1000, 2, []uint64{1001, 1001}},
		{1001, 0, nil},
		{1 << 63, 0, nil},
	} {
		page, err := client.ListOrders(t.Context(), &orderv1.ListOrdersRequest{After: c.after, Limit: c.limit})
		require.NoError(t, err)
		if orders := page.GetOrders(); c.want == nil {
			require.Empty(t, orders)
		} else {
			require.Equal(t, c.want, []uint64{orders[0].GetSequence(), orders[len(orders)-1].GetSequence()}, c)
			require.Len(t, orders, int(c.want[1]-c.want[0])+1)
		}
	}
	require.Len(t, listAll(t, client), 1001)
}

// cluster is servers that can be stopped one by one.
type cluster map[string]func() error

func startCluster(t *testing.T, nats *aegistest.NATS, names ...string) cluster {
	t.Helper()
	c := cluster{}
	for _, name := range names {
		conn := nats.Connect(t)
		srv, err := aegis.NewServer(conn, aegis.WithInstance(name))
		require.NoError(t, err)
		require.NoError(t, register(t, conn)(srv))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx) }()
		c[name] = sync.OnceValue(func() error { cancel(); return <-done })
		t.Cleanup(func() { _ = c[name]() })
	}
	return c
}

// load places orders until it is stopped.
type load struct {
	client   orderv1aegis.OrderServiceClient
	stop     atomic.Bool
	accepted atomic.Int64
	leader   atomic.Value

	mu     sync.Mutex
	placed map[string]uint64 // sequences by id
	errs   []error
}

func (l *load) run(ctx context.Context, caller int) {
	for n := 0; !l.stop.Load(); n++ {
		id := fmt.Sprint(caller, "-", n)
		resp, err := l.client.PlaceOrder(ctx, request(id))
		l.mu.Lock()
		if err == nil {
			l.placed[id] = resp.GetOrder().GetSequence()
		} else {
			l.errs = append(l.errs, err)
		}
		l.mu.Unlock()
		if err == nil {
			l.leader.Store(resp.GetInstance())
			l.accepted.Add(1)
		}
	}
}

func (l *load) await(t *testing.T, more int64) {
	t.Helper()
	target := l.accepted.Load() + more
	require.Eventually(t, func() bool { return l.accepted.Load() >= target }, 30*time.Second, time.Millisecond)
}

func TestGracefulStopsUnderLoadLoseAndDoubleNothing(t *testing.T) {
	nats := aegistest.StartNATS(t)
	servers := startCluster(t, nats, "a", "b", "c")
	l := &load{client: newClient(t, nats), placed: map[string]uint64{}}
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() { l.run(t.Context(), caller) })
	}
	stopped := map[string]bool{}
	for range 2 {
		l.await(t, 200)
		leader, _ := l.leader.Load().(string)
		require.NoError(t, servers[leader]())
		stopped[leader] = true
		l.await(t, 100)
	}
	l.stop.Store(true)
	callers.Wait()
	require.Len(t, stopped, 2)
	require.Empty(t, l.errs, "a graceful stop fails no call")
	requireExactlyOnce(t, listAll(t, l.client), l.placed)
}

// requireExactlyOnce checks that the book is what was accepted, without gaps,
// and that no older leader accepted anything after a newer one.
func requireExactlyOnce(t *testing.T, listed []*orderv1.Order, placed map[string]uint64) {
	t.Helper()
	found, terms, term := map[string]uint64{}, map[uint64]bool{}, uint64(0)
	for i, o := range listed {
		require.EqualValues(t, i+1, o.GetSequence())
		require.NotContains(t, found, o.GetId())
		require.GreaterOrEqual(t, o.GetTerm(), term)
		term = o.GetTerm()
		terms[term] = true
		found[o.GetId()] = o.GetSequence()
	}
	require.Equal(t, placed, found)
	require.Len(t, terms, 3, "terms: %v", slices.Sorted(maps.Keys(terms)))
}

func TestWatchingAcrossAFailover(t *testing.T) {
	nats := aegistest.StartNATS(t)
	servers := map[string]*aegis.Conn{}
	for _, name := range []string{"order-a", "order-b"} {
		servers[name] = nats.Connect(t)
		aegistest.Serve(t, servers[name], register(t, servers[name]), aegis.WithInstance(name))
	}
	client := newClient(t, nats)
	place := func(id string) string {
		for {
			resp, err := client.PlaceOrder(t.Context(), request(id))
			if err == nil {
				return resp.GetInstance()
			}
		}
	}
	leader := place("1")
	place("2")
	after := uint64(0)
	see := func(orders aegis.Receiver[orderv1.WatchOrdersResponse], ids ...string) {
		for _, id := range ids {
			resp, err := orders.Recv()
			require.NoError(t, err)
			require.Equal(t, id, resp.GetOrder().GetId())
			require.Equal(t, after+1, resp.GetOrder().GetSequence())
			after++
		}
	}
	watch := func() aegis.Receiver[orderv1.WatchOrdersResponse] {
		orders, err := client.WatchOrders(t.Context(), &orderv1.WatchOrdersRequest{After: after})
		require.NoError(t, err)
		return orders
	}
	orders := watch()
	see(orders, "1", "2")
	place("3")
	see(orders, "3")
	servers[leader].NATS().Close()
	require.NotEqual(t, leader, place("4"))
	_, err := orders.Recv()
	require.Contains(t, []aegis.Code{aegis.CodeUnavailable, aegis.CodeAborted}, aegis.CodeOf(err))
	orders = watch()
	see(orders, "4")
	require.NoError(t, orders.Close())
}

func TestQueriesOfEveryInstance(t *testing.T) {
	nats := aegistest.StartNATS(t)
	startCluster(t, nats, "a", "b", "c")
	client := newClient(t, nats)
	ask := func(id string, opts ...aegis.CallOption) map[string]int {
		answers := map[string]int{}
		for range 6 {
			resp, err := client.GetOrder(t.Context(), &orderv1.GetOrderRequest{Id: id}, opts...)
			require.NoError(t, err)
			require.Equal(t, id, resp.GetOrder().GetId())
			answers[resp.GetInstance()]++
		}
		return answers
	}
	for _, id := range []string{"1", "2"} { // the second finds copies that do not have it yet
		_, err := client.PlaceOrder(t.Context(), request(id))
		require.NoError(t, err)
		require.Eventually(t, func() bool { // the client has found all three
			return maps.Equal(ask(id, aegis.RoundRobin()), map[string]int{"a": 2, "b": 2, "c": 2})
		}, deadline, time.Millisecond)
		require.Len(t, ask(id), 1, "sticky, as the proto says")
	}
	_, err := client.GetOrder(t.Context(), &orderv1.GetOrderRequest{Id: "3"})
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err), err)
}

func TestReconcilingTheBook(t *testing.T) {
	nats := aegistest.StartNATS(t)
	startCluster(t, nats, "a", "b")
	client := newClient(t, nats)
	for n := range 5 {
		req := request(strconv.Itoa(n))
		if n > 2 {
			req.Side = orderv1.Side_SIDE_BUY
		}
		_, err := client.PlaceOrder(t.Context(), req)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd, err := client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{})
	require.NoError(t, err)
	sum, err := cmd.Result(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{5, 6, 9}, []int64{int64(sum.GetOrders()), sum.GetBought(), sum.GetSold()})
	require.Contains(t, []string{"a", "b"}, sum.GetInstance())
	require.EqualValues(t, 1, sum.GetAttempt())

	cmd, err = client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{Through: 4})
	require.NoError(t, err)
	sum, err = cmd.Result(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{4, 3, 9}, []int64{int64(sum.GetOrders()), sum.GetBought(), sum.GetSold()})
	cmd, err = client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{Through: 6})
	require.NoError(t, err)
	_, err = cmd.Result(ctx)
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), err)

	cmd, err = client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: 1})
	require.NoError(t, err)
	for p, err := range cmd.Progress(ctx) {
		if err == nil {
			require.Equal(t, "1 of 5 orders", p.Message)
			require.InDelta(t, 20, p.Percent, 0.01)
		}
		break
	}
	require.NoError(t, cmd.Cancel(ctx))
	_, err = cmd.Result(ctx)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err), err)
}

func TestReloadingLimitsEverywhere(t *testing.T) {
	nats := aegistest.StartNATS(t)
	file := filepath.Join(t.TempDir(), "limits.json")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(`{"version":1,"max_quantity":2}`)
	for _, name := range []string{"order-a", "order-b"} {
		conn := nats.Connect(t)
		service, err := book.NewService(conn, book.Config{LimitsFile: file})
		require.NoError(t, err)
		aegistest.Serve(t, conn, func(srv *aegis.Server) error {
			return orderv1aegis.RegisterOrderServiceServer(srv, service, fast)
		}, aegis.WithInstance(name))
	}
	client := newClient(t, nats)
	_, err := client.PlaceOrder(t.Context(), request("1"))
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	reload := func() (versions []int64, errs []error) {
		for reply := range client.ReloadLimits(t.Context(), &orderv1.ReloadLimitsRequest{}, aegis.UntilReplies(2)) {
			versions = append(versions, reply.Msg.GetVersion())
			if reply.Err != nil {
				errs = append(errs, reply.Err)
			}
		}
		return versions, errs
	}
	write(`{"version":2,"max_quantity":3}`)
	versions, errs := reload()
	require.Empty(t, errs)
	require.Equal(t, []int64{2, 2}, versions)
	_, err = client.PlaceOrder(t.Context(), request("1"))
	require.NoError(t, err)
	for _, wrong := range []string{``, `[]`, `{"version":0}`, `{"version":3,"max_quantity":-1}`} {
		write(wrong)
		_, errs = reload()
		require.Len(t, errs, 2)
		require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(errs[0]))
	}
	_, err = client.PlaceOrder(t.Context(), request("1"))
	require.NoError(t, err, "what is no file of limits changes nothing")
}
