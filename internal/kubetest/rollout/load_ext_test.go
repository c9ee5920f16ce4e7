package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// load calls all that the example offers, and keeps what came of it.
type load struct {
	t      *testing.T
	conn   *aegis.Conn
	client orderv1aegis.OrderServiceClient
	stop   context.CancelFunc
	works  sync.WaitGroup
	// watches is how often the book was watched anew.
	watches atomic.Int64

	mu         sync.Mutex
	operations []operation
	highest    uint64 // sequence of an accepted order
	watched    []uint64
	answers    []answer
	asked      entry
	results    map[string]*orderv1.ReconcileBookResponse // by the id of the command
	calls      map[string]*calls                         // by what they are of
	failures   []failure
}

// failure is a call that failed.
type failure struct {
	at   time.Time
	of   string
	took time.Duration
	err  error
}

func (f failure) String() string {
	return fmt.Sprintf("%s %s after %.3f s: %v", f.at.Format("05.000"), f.of, f.took.Seconds(), f.err)
}

// answer is one of the leader's.
type answer struct {
	at     time.Time
	leader string
}

// calls are the figures of one method.
type calls struct {
	all, failed int
	longest     time.Duration
}

func startLoad(t *testing.T, conn *aegis.Conn) *load {
	t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	l := &load{t: t, conn: conn, client: client, results: map[string]*orderv1.ReconcileBookResponse{}, calls: map[string]*calls{}}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	for i := range 4 {
		l.every(ctx, 80*time.Millisecond, "PlaceOrder", l.placing(i))
	}
	for range 2 {
		l.every(ctx, 10*time.Millisecond, "GetOrder", l.get)
	}
	l.every(ctx, 20*time.Millisecond, "ListOrders", l.list)
	l.every(ctx, 300*time.Millisecond, "ReloadLimits", l.reload)
	for range 2 {
		l.every(ctx, 50*time.Millisecond, "ReconcileBook until its result", l.reconcile)
	}
	l.works.Go(func() { l.watch(ctx) })
	l.works.Go(func() { l.ask(ctx) })
	return l
}

// every works until ctx ends; the work that runs then is finished.
func (l *load) every(ctx context.Context, pause time.Duration, of string, work func(context.Context) error) {
	l.works.Go(func() {
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for ctx.Err() == nil {
			_ = l.timed(of, func() error { return work(context.WithoutCancel(ctx)) }) // it is noted
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
}

// timed calls and keeps how long it took and whether it failed.
func (l *load) timed(of string, call func() error) error {
	began := time.Now()
	err := call()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.calls[of]
	if c == nil {
		c = &calls{}
		l.calls[of] = c
	}
	c.all++
	c.longest = max(c.longest, took)
	if err != nil {
		c.failed++
		l.failures = append(l.failures, failure{time.Now(), of, took, err})
	}
	return err
}

func (l *load) placing(caller int) func(context.Context) error {
	n := 0
	return func(ctx context.Context) error {
		n++
		called := time.Now()
		resp, err := l.client.PlaceOrder(ctx, order(fmt.Sprint("o", caller, "-", n), n))
		if err == nil {
			l.keep(operation{called: called, placed: entryOf(resp.GetOrder())})
		}
		return err
	}
}

// keep adds an operation that was just answered.
func (l *load) keep(o operation) {
	o.returned = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.operations = append(l.operations, o)
	l.highest = max(l.highest, o.placed.sequence)
}

// accepted is the highest sequence of an order that is known to be accepted.
func (l *load) accepted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.highest
}

func entryOf(o *orderv1.Order) entry { return entry{o.GetId(), o.GetSequence(), o.GetTerm()} }

func order(id string, n int) *orderv1.PlaceOrderRequest {
	return &orderv1.PlaceOrderRequest{
		Id: id, Symbol: fmt.Sprint("S", n%5), Side: orderv1.Side_SIDE_BUY, Quantity: 1, PriceCents: 100,
	}
}

const asked = "asked"

// ask places one order again and again, which changes nothing and says who leads: one call every
// 5 ms, whether or not the last ones have been answered, but no more than an instance lets in.
func (l *load) ask(ctx context.Context) {
	var asking errgroup.Group
	asking.SetLimit(100)
	defer asking.Wait() //nolint:errcheck // they are noted
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		asking.TryGo(func() error {
			return l.timed("PlaceOrder again", func() error {
				resp, err := l.client.PlaceOrder(context.WithoutCancel(ctx), order(asked, 0))
				if err == nil {
					err = l.answered(resp)
				}
				return err
			})
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// answered fails if an order is not where it was.
func (l *load) answered(resp *orderv1.PlaceOrderResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, answer{time.Now(), resp.GetInstance()})
	now := entryOf(resp.GetOrder())
	if l.asked == (entry{}) {
		l.asked = now
	}
	if now != l.asked {
		return fmt.Errorf("%v was accepted again as %v", l.asked, now)
	}
	return nil
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
	return err
}

// list reads from the last order on that is known to be accepted, which the leader has to know, too.
func (l *load) list(ctx context.Context) error {
	const limit = 10
	after := max(l.accepted(), 1) - 1
	read := operation{called: time.Now(), after: after, limit: limit}
	resp, err := l.client.ListOrders(ctx, &orderv1.ListOrdersRequest{After: after, Limit: limit})
	if err != nil {
		return err
	}
	for _, o := range resp.GetOrders() {
		read.orders = append(read.orders, entryOf(o))
	}
	l.keep(read)
	return nil
}

func (l *load) reload(ctx context.Context) error {
	for reply := range l.client.ReloadLimits(ctx, &orderv1.ReloadLimitsRequest{}) {
		if reply.Err != nil {
			return fmt.Errorf("of %s: %w", reply.Instance, reply.Err)
		}
	}
	return nil
}

// reconcile sends a command that takes about a second, and follows it.
func (l *load) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var cmd *aegis.Command[orderv1.ReconcileBookResponse]
	if err := l.timed("ReconcileBook, to send it", func() (err error) {
		cmd, err = l.client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: 50, Through: 50})
		return err
	}); err != nil {
		return err
	}
	for _, err := range cmd.Progress(ctx) {
		if err != nil {
			return fmt.Errorf("progress: %w", err)
		}
	}
	sum, err := cmd.Result(ctx)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results[cmd.ID()] = sum
	if sum.GetOrders() != 50 {
		return fmt.Errorf("it added %d orders up", sum.GetOrders())
	}
	return nil
}

// resultsStay fails unless each command has the result that it had when it ended.
func (l *load) resultsStay(ctx context.Context) error {
	for id, had := range l.results {
		has, err := orderv1aegis.OrderServiceReconcileBookCommand(l.conn, id).Result(ctx)
		if err != nil {
			return fmt.Errorf("the result of command %s: %w", id, err)
		}
		if !proto.Equal(had, has) {
			return fmt.Errorf("command %s had the result %v and has %v", id, had, has)
		}
	}
	return nil
}

func (l *load) commands() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.results)
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
		if ctx.Err() == nil && err != nil && code != aegis.CodeAborted && code != aegis.CodeUnavailable && code != aegis.CodeDataLoss {
			_ = l.timed("WatchOrders", func() error { return err })
			return
		}
	}
}

// count returns how many calls there were, and how many of them were not answered in time.
func (l *load) count() (all, late int) {
	for _, c := range l.calls {
		all += c.all
	}
	for _, f := range l.failures {
		if aegis.CodeOf(f.err) == aegis.CodeDeadlineExceeded {
			late++
		}
	}
	return all, late
}

// seen is how many orders were watched.
func (l *load) seen() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.watched))
}

// longGap is from when on the time between two answers to ask is logged.
const longGap = 50 * time.Millisecond

// gaps are the times from the last answer of each leader to the first of the next, and other long
// ones. moves is how often the leader changed.
func (l *load) gaps() (gaps []string, moves int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 1; i < len(l.answers); i++ {
		a, b := l.answers[i-1], l.answers[i]
		if a.leader != b.leader {
			moves++
		}
		if took := b.at.Sub(a.at); a.leader != b.leader || took > longGap {
			gaps = append(gaps, fmt.Sprintf("%s %s -> %s: %.1f ms", a.at.Format("05.000"), a.leader, b.leader, took.Seconds()*1000))
		}
	}
	return gaps, moves
}
