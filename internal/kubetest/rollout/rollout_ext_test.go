package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	deadline  = 30 * time.Second
	rollingIn = 5 * time.Minute
	instances = 6
)

func TestRollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.roll(w.ctx)
	w.judge()
}

func TestNodeDrainLosesNothing(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	node := w.first(w.pods).node // that of the leader, so that it hands over
	require.Equal(t, 1, w.drain(w.ctx, node), "instances of a node that stop at once")
	require.NotEmpty(t, w.load.gaps(), "the leader has not moved")
	w.judge()
}

// cluster is six instances under load, two on each of three nodes.
type cluster struct {
	*controller
	ctx  context.Context //nolint:containedctx // of the test
	conn *aegis.Conn
	load *load
	told map[string]*told
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	nats := aegistest.StartNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), rollingIn)
	t.Cleanup(cancel)
	w := &cluster{ctx: ctx, conn: nats.Connect(t), told: map[string]*told{}}
	w.controller = &controller{kubelet: newKubelet(t, readManifest(t), nats.URL()), replicas: instances}
	t.Cleanup(w.end)
	for i := range instances {
		w.create("old", fmt.Sprint("node-", i%3))
	}
	w.until(ctx, func() bool { return w.availablePods() == instances })
	risk := &told{times: map[uint64]int{}}
	w.told["risk"] = risk
	for _, name := range []string{"risk-1", "risk-2"} {
		w.subscribe(nats.Connect(t), name, risk, aegis.Compete("risk"))
	}
	for _, name := range []string{"monitor-1", "monitor-2"} {
		w.told[name] = &told{times: map[uint64]int{}}
		w.subscribe(nats.Connect(t), name, w.told[name], aegis.EachInstance())
	}
	w.seed()
	w.load = startLoad(t, w.conn)
	w.leader = w.load.leader
	w.until(ctx, func() bool { return w.load.leader() != "" && w.load.commands.Load() > 0 })
	return w
}

// seed gives the commands a book to read.
func (w *cluster) seed() {
	client, err := orderv1aegis.NewOrderServiceClient(w.conn)
	require.NoError(w.t, err)
	for i := range 50 {
		_, err := client.PlaceOrder(w.ctx, order(fmt.Sprint("seed-", i), i))
		require.NoError(w.t, err)
	}
}

// told counts the events by the sequence of their order.
type told struct {
	mu    sync.Mutex
	times map[uint64]int
}

func (o *told) add(sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.times[sequence]++
}

func (o *told) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.times)
}

func (w *cluster) subscribe(conn *aegis.Conn, name string, into *told, share aegis.SubscribeOption) {
	aegistest.Serve(w.t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.SubscribeOrderServiceEvents(srv, orderv1aegis.OrderServiceEvents{
			OrderPlaced: func(_ context.Context, ev *orderv1.OrderPlacedRequest) error {
				into.add(ev.GetOrder().GetSequence())
				return nil
			},
		}, share, aegis.StartFrom(aegis.StartAll()))
	}, aegis.WithInstance(name))
}

// end lets the pods that are left go, as the manifest says.
func (w *cluster) end() {
	if w.load != nil {
		w.load.stop()
		w.load.works.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	for len(w.pods) > 0 {
		w.remove(w.pods[0])
	}
	w.awaitGone(ctx, w.deleted)
}

func (w *cluster) judge() {
	t := w.t
	w.awaitGone(w.ctx, w.deleted)
	book := w.wholeBook()
	w.until(w.ctx, func() bool { // and so no order's event is lost, nor is one missing to those who watch
		for _, o := range w.told {
			if o.count() < len(book) {
				return false
			}
		}
		w.load.mu.Lock()
		defer w.load.mu.Unlock()
		return len(w.load.watched) >= len(book)
	})
	w.load.stop()
	w.load.works.Wait()
	book = w.wholeBook()
	t.Logf("%d calls, %d commands, %d orders, %d watches; hand-overs:", w.load.calls.Load(), w.load.commands.Load(), len(book), w.load.watches.Load())
	for _, gap := range w.load.gaps() {
		t.Log(gap)
	}
	w.kubelet.mu.Lock()
	for _, line := range w.leading {
		t.Log(line)
	}
	w.kubelet.mu.Unlock()
	for id, sequence := range w.load.accepted {
		require.Equal(t, sequence, book[id], id)
	}
	for i, sequence := range w.load.watched {
		require.EqualValues(t, i+1, sequence, "WatchOrders misses or repeats an order")
	}
	for letter, err := range w.conn.DeadLetters(w.ctx, orderv1aegis.OrderServiceName) {
		require.NoError(t, err)
		require.Nil(t, letter, "a command or event is buried")
	}
	require.Empty(t, w.load.errors)
	require.Zero(t, w.failed.Load(), "pods that end badly")
	require.Zero(t, w.killed.Load(), "pods that do not end within their grace period")
}

// wholeBook is the sequences by the ids, of which none is there twice.
func (w *cluster) wholeBook() map[string]uint64 {
	book := map[string]uint64{}
	for after := uint64(0); ; {
		resp, err := w.load.client.ListOrders(w.ctx, &orderv1.ListOrdersRequest{After: after})
		require.NoError(w.t, err)
		if len(resp.GetOrders()) == 0 {
			return book
		}
		for _, o := range resp.GetOrders() {
			after = o.GetSequence()
			require.NotContains(w.t, book, o.GetId(), "an order is in the book twice")
			book[o.GetId()] = after
		}
	}
}
