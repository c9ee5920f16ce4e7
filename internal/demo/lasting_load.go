package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	lastingCallers = 4
	// callEvery, lastingOrderEvery, commandEvery and broadcastEvery are the paces of the
	// load: of each caller, and of all orders, commands and broadcasts.
	callEvery         = 40 * time.Millisecond
	lastingOrderEvery = 100 * time.Millisecond
	commandEvery      = 3 * time.Second
	broadcastEvery    = 20 * time.Second
	// rushEvery is how often rushSize commands come at once, more than run at a time.
	rushEvery = time.Minute
	rushSize  = 60

	// A command adds up so many orders, at this pace: 4 s.
	commandOrders = 100
	commandPace   = 25
)

// lastingLoad is what the lasting demo asks of its servers: calls, orders, which events
// follow, commands, broadcasts, and a stream of all orders.
type lastingLoad struct {
	stage   *stage
	conn    *aegis.Conn
	echo    echov1aegis.EchoServiceClient
	orders  orderv1aegis.OrderServiceClient
	limits  *orderLimits
	watcher *orderWatcher
	failed  chan struct{} // closed when something went wrong that must not

	calls, failedCalls, placed, repeated, done, undone, broadcasts atomic.Int64

	mu     sync.Mutex
	err    error
	before lastingFigures // when they were said last
}

// lastingFigures is how often something was done.
type lastingFigures struct {
	calls, failedCalls, placed, repeated, done, undone, broadcasts int64
}

func newLastingLoad(ctx context.Context, s *stage, limits *orderLimits) (l *lastingLoad, err error) {
	conn, err := aegis.Connect(ctx, s.nats.ClientURL())
	if err != nil {
		return nil, err
	}
	l = &lastingLoad{stage: s, conn: conn, limits: limits, failed: make(chan struct{})}
	if l.echo, err = echov1aegis.NewEchoServiceClient(conn); err == nil {
		l.orders, err = orderv1aegis.NewOrderServiceClient(conn)
	}
	if err == nil {
		l.watcher, err = startOrderWatcher(ctx, s.nats.ClientURL())
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return l, nil
}

func (l *lastingLoad) close() {
	l.watcher.close()
	_ = l.conn.Close(context.Background()) // the load has ended
}

// run makes the load until ctx ends.
func (l *lastingLoad) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for range lastingCallers {
		all.Go(func() { l.call(ctx) })
	}
	all.Go(func() { l.place(ctx) })
	all.Go(func() { l.broadcast(ctx) })
	all.Go(func() { l.command(ctx, &all, commandEvery, 1) })
	all.Go(func() { l.command(ctx, &all, rushEvery, rushSize) })
}

// fail ends the demo.
func (l *lastingLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		close(l.failed)
	}
	l.err = cmp.Or(l.err, err)
}

// problem is what went wrong that must not.
func (l *lastingLoad) problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.watcher.problem())
}

// call calls the echo service, again and again. A call may fail with the server that handles
// it.
func (l *lastingLoad) call(ctx context.Context) {
	load := &echoLoad{deadline: echoDeadline}
	for rest(ctx, callEvery) {
		switch _, err := load.call(ctx, l.echo, l.calls.Add(1)); {
		case ctx.Err() != nil:
			l.calls.Add(-1)
		case aegis.CodeOf(err) == aegis.CodeDataLoss:
			l.fail(err)
		case err != nil:
			l.failedCalls.Add(1)
		}
	}
}

// place places orders, each of them until it is accepted.
func (l *lastingLoad) place(ctx context.Context) {
	p := &orderPlacer{client: l.orders}
	pace := time.NewTicker(lastingOrderEvery)
	defer pace.Stop()
	last := uint64(0)
	for n := int64(1); ; n++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		order, err := p.place(ctx, n, pace)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.fail(err)
			return
		case order.Sequence <= last: // others may place orders too
			l.fail(fmt.Errorf("order %s has the sequence %d in the book, and the one before has %d", order.ID, order.Sequence, last))
			return
		}
		last = order.Sequence
		l.placed.Store(n)
		l.repeated.Store(p.repeated.Load())
	}
}

// command sends commands from time to time, and waits for their results.
func (l *lastingLoad) command(ctx context.Context, all *sync.WaitGroup, every time.Duration, size int) {
	for rest(ctx, every) {
		through := min(l.placed.Load(), commandOrders)
		if through == 0 {
			continue
		}
		for range size {
			all.Go(func() { l.reconcile(ctx, uint64(through)) })
		}
	}
}

func (l *lastingLoad) reconcile(ctx context.Context, through uint64) {
	c, err := l.orders.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: commandPace, Through: through})
	if err == nil {
		_, err = c.Result(ctx)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.undone.Add(1)
		l.stage.sayf("a command failed: %v", err)
	default:
		l.done.Add(1)
	}
}

// broadcast has all order servers read their limits again, from time to time.
func (l *lastingLoad) broadcast(ctx context.Context) {
	for rest(ctx, broadcastEvery) {
		if _, err := l.limits.reload(ctx, l.orders); err != nil && ctx.Err() == nil {
			l.stage.sayf("a broadcast failed: %v", err)
			continue
		}
		l.broadcasts.Add(1)
	}
}

func (l *lastingLoad) figures() lastingFigures {
	return lastingFigures{
		calls: l.calls.Load(), failedCalls: l.failedCalls.Load(), placed: l.placed.Load(), repeated: l.repeated.Load(),
		done: l.done.Load(), undone: l.undone.Load(), broadcasts: l.broadcasts.Load(),
	}
}

// total says what was done in all.
func (l *lastingLoad) total() string { return l.figures().String() }

// recent says what was done since it was last said.
func (l *lastingLoad) recent() string {
	now := l.figures()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.before
	l.before = now
	return lastingFigures{
		calls: now.calls - b.calls, failedCalls: now.failedCalls - b.failedCalls, placed: now.placed - b.placed,
		repeated: now.repeated - b.repeated, done: now.done - b.done, undone: now.undone - b.undone, broadcasts: now.broadcasts - b.broadcasts,
	}.String()
}

func (f lastingFigures) String() string {
	return fmt.Sprintf("%s calls, %s failed; %s orders, %s calls for them repeated; %s commands done, %s failed; %s broadcasts",
		thousands(int(f.calls)), thousands(int(f.failedCalls)), thousands(int(f.placed)), thousands(int(f.repeated)),
		thousands(int(f.done)), thousands(int(f.undone)), thousands(int(f.broadcasts)))
}
