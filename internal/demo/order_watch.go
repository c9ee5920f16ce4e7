package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// reloadLimit bounds a broadcast that should be answered at once.
const reloadLimit = 5 * time.Second

// orderWatcher watches the book through one stream after the other: each ends
// with the leader that it comes from.
type orderWatcher struct {
	conn   *aegis.Conn
	client orderv1aegis.OrderServiceClient
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	seen    uint64 // orders, which are numbered from 1 on without gaps
	streams int
	err     error
}

func startOrderWatcher(ctx context.Context, natsURL string) (*orderWatcher, error) {
	conn, err := aegis.Connect(ctx, natsURL)
	if err != nil {
		return nil, err
	}
	w := &orderWatcher{conn: conn, done: make(chan struct{})}
	if w.client, err = orderv1aegis.NewOrderServiceClient(conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	return w, nil
}

// run watches again, after the last order that came, as often as a stream ends.
func (w *orderWatcher) run(ctx context.Context) {
	for ctx.Err() == nil && w.problem() == nil {
		orders, err := w.client.WatchOrders(ctx, &orderv1.WatchOrdersRequest{After: w.count()})
		if err == nil {
			w.mu.Lock()
			w.streams++
			w.mu.Unlock()
			err = w.read(orders)
		}
		switch aegis.CodeOf(err) {
		case aegis.CodeUnavailable, aegis.CodeAborted, aegis.CodeDeadlineExceeded, aegis.CodeCanceled:
		default:
			w.fail(fmt.Errorf("a stream of orders ended with: %w", err))
		}
	}
}

func (w *orderWatcher) read(orders aegis.Receiver[orderv1.WatchOrdersResponse]) error {
	for resp, err := range orders.All() {
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.seen++
		want, got := w.seen, resp.GetOrder().GetSequence()
		w.mu.Unlock()
		if got != want {
			w.fail(fmt.Errorf("the watcher got order %d where %d follows", got, want))
			return orders.Close()
		}
	}
	return errors.New("no error: it has no end")
}

func (w *orderWatcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

func (w *orderWatcher) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *orderWatcher) count() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// finish waits until so many orders have come, and returns over how many streams.
func (w *orderWatcher) finish(ctx context.Context, orders uint64) (streams int, err error) {
	for w.count() < orders && w.problem() == nil {
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return 0, fmt.Errorf("the watcher has seen %d of %d orders: %w", w.count(), orders, ctx.Err())
		}
	}
	w.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streams, w.err
}

func (w *orderWatcher) close() {
	w.cancel()
	<-w.done
	_ = w.conn.Close(context.Background())
}

// orderLimits is the file that all order servers read their limits from.
type orderLimits struct {
	path    string
	version int
}

func newOrderLimits(dir string) (*orderLimits, error) {
	l := &orderLimits{path: filepath.Join(dir, "limits.json")}
	return l, l.write()
}

func (l *orderLimits) write() error {
	l.version++
	return os.WriteFile(l.path, fmt.Appendf(nil, `{"version":%d,"max_quantity":1000000}`, l.version), 0o600)
}

// reload writes a new version and broadcasts that it is there. It returns who has
// it now.
func (l *orderLimits) reload(ctx context.Context, client orderv1aegis.OrderServiceClient) (has []string, err error) {
	if err := l.write(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	for reply := range client.ReloadLimits(ctx, &orderv1.ReloadLimitsRequest{}) {
		switch {
		case aegis.CodeOf(reply.Err) == aegis.CodeUnavailable && reply.Instance != "": // it is gone
		case reply.Err != nil:
			return nil, fmt.Errorf("reload the limits: %s: %w", reply.Instance, reply.Err)
		case reply.Msg.GetVersion() != int64(l.version):
			return nil, fmt.Errorf("%s has read version %d of the limits, not %d", reply.Instance, reply.Msg.GetVersion(), l.version)
		default:
			has = append(has, reply.Instance)
		}
	}
	slices.Sort(has)
	return has, ctx.Err()
}

// reloadLimits shows a broadcast, which so many servers have to answer.
func (o *orderShow) reloadLimits(ctx context.Context, servers int) error {
	has, err := o.limits.reload(ctx, o.watcher.client)
	if err != nil {
		return err
	}
	if len(has) != servers {
		return fmt.Errorf("the limits were reloaded by %d servers and not by %d: %v", len(has), servers, has)
	}
	o.stage.sayf("a broadcast: version %d of the limits is read by %s", o.limits.version, strings.Join(has, ", "))
	return nil
}
