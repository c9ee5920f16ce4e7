package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// load calls all that the example offers, and keeps what came of it.
type load struct {
	t      *testing.T
	client orderv1aegis.OrderServiceClient
	stop   context.CancelFunc
	works  sync.WaitGroup

	calls, failed, commands, watches atomic.Int64

	mu       sync.Mutex
	accepted map[string]uint64 // the sequence by the id
	watched  []uint64
	answers  []answer
	errors   []string
}

// answer is one of the leader's.
type answer struct {
	at     time.Time
	leader string
}

func startLoad(t *testing.T, conn *aegis.Conn) *load {
	t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	l := &load{t: t, client: client, accepted: map[string]uint64{}}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range 4 {
		l.every(ctx, 10*time.Millisecond, l.placing(i))
	}
	for range 2 {
		l.every(ctx, 5*time.Millisecond, l.get)
	}
	l.every(ctx, 20*time.Millisecond, l.list)
	l.every(ctx, 300*time.Millisecond, l.reload)
	for range 3 {
		l.every(ctx, 50*time.Millisecond, l.reconcile)
	}
	l.works.Go(func() { l.watch(ctx) })
	l.works.Go(func() { l.ask(ctx) })
	return l
}

// every works until ctx ends; the work that runs then is finished.
func (l *load) every(ctx context.Context, pause time.Duration, work func(context.Context) error) {
	l.works.Go(func() {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for ctx.Err() == nil {
			l.note(work(context.WithoutCancel(ctx)))
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
}

func (l *load) note(err error) {
	l.calls.Add(1)
	if err == nil {
		return
	}
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, time.Now().Format("05.000 ")+err.Error())
}

func (l *load) placing(caller int) func(context.Context) error {
	n := 0
	return func(ctx context.Context) error {
		n++
		id := fmt.Sprint("o", caller, "-", n)
		resp, err := l.client.PlaceOrder(ctx, order(id, n))
		if err != nil {
			return fmt.Errorf("PlaceOrder: %w", err)
		}
		l.accept(id, resp.GetOrder().GetSequence())
		return nil
	}
}

func (l *load) accept(id string, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[id] = sequence
}

func order(id string, n int) *orderv1.PlaceOrderRequest {
	return &orderv1.PlaceOrderRequest{
		Id: id, Symbol: fmt.Sprint("S", n%5), Side: orderv1.Side_SIDE_BUY, Quantity: 1, PriceCents: 100,
	}
}

const asked = "asked"

// ask places one order again and again, which changes nothing and says who leads: one call every
// 2 ms, whether or not the last ones have been answered.
func (l *load) ask(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		asking.Go(func() {
			resp, err := l.client.PlaceOrder(context.WithoutCancel(ctx), order(asked, 0))
			if l.note(err); err == nil {
				l.answered(resp)
			}
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) answered(resp *orderv1.PlaceOrderResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[asked] = resp.GetOrder().GetSequence()
	l.answers = append(l.answers, answer{time.Now(), resp.GetInstance()})
}

func (l *load) leader() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) == 0 {
		return ""
	}
	return l.answers[len(l.answers)-1].leader
}

func (l *load) get(ctx context.Context) error {
	if l.leader() == "" {
		return nil
	}
	_, err := l.client.GetOrder(ctx, &orderv1.GetOrderRequest{Id: asked})
	if err != nil {
		return fmt.Errorf("GetOrder: %w", err)
	}
	return nil
}

func (l *load) list(ctx context.Context) error {
	if _, err := l.client.ListOrders(ctx, &orderv1.ListOrdersRequest{Limit: 10}); err != nil {
		return fmt.Errorf("ListOrders: %w", err)
	}
	return nil
}

func (l *load) reload(ctx context.Context) error {
	for reply := range l.client.ReloadLimits(ctx, &orderv1.ReloadLimitsRequest{}) {
		if reply.Err != nil {
			return fmt.Errorf("ReloadLimits of %s: %w", reply.Instance, reply.Err)
		}
	}
	return nil
}

// reconcile sends a command that takes about a second, and follows it.
func (l *load) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	cmd, err := l.client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: 50, Through: 50})
	if err != nil {
		return fmt.Errorf("send ReconcileBook: %w", err)
	}
	for _, err := range cmd.Progress(ctx) {
		if err != nil {
			return fmt.Errorf("progress of ReconcileBook: %w", err)
		}
	}
	sum, err := cmd.Result(ctx)
	if err != nil {
		return fmt.Errorf("ReconcileBook: %w", err)
	}
	if sum.GetOrders() != 50 {
		return fmt.Errorf("ReconcileBook added %d orders up", sum.GetOrders())
	}
	l.commands.Add(1)
	return nil
}

// watch follows the book, and goes on after the last order that came, as the proto says.
func (l *load) watch(ctx context.Context) {
	for after := uint64(0); ctx.Err() == nil; {
		l.watches.Add(1)
		orders, err := l.client.WatchOrders(ctx, &orderv1.WatchOrdersRequest{After: after})
		if err == nil {
			var resp *orderv1.WatchOrdersResponse
			for resp, err = range orders.All() {
				if err != nil {
					break
				}
				after = resp.GetOrder().GetSequence()
				l.mu.Lock()
				l.watched = append(l.watched, after)
				l.mu.Unlock()
			}
		}
		code := aegis.CodeOf(err)
		if ctx.Err() == nil && err != nil && code != aegis.CodeAborted && code != aegis.CodeUnavailable {
			l.note(fmt.Errorf("WatchOrders: %w", err))
			return
		}
	}
}

// gaps are the times from the last answer of each leader to the first of the next.
func (l *load) gaps() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gaps []string
	for i := 1; i < len(l.answers); i++ {
		if a, b := l.answers[i-1], l.answers[i]; a.leader != b.leader {
			gaps = append(gaps, fmt.Sprintf("%s %s -> %s: %.1f ms", a.at.Format("05.000"), a.leader, b.leader, b.at.Sub(a.at).Seconds()*1000))
		}
	}
	return gaps
}
