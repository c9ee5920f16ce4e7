package aegis

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// commandClients are those of a connection, by service.
type commandClients struct {
	mu  sync.Mutex
	all map[string]*commandClient
}

func (c *Conn) commandsOf(service *spec.Service) *commandClient {
	c.commands.mu.Lock()
	defer c.commands.mu.Unlock()
	if cc := c.commands.all[service.Name]; cc != nil {
		return cc
	}
	if c.commands.all == nil {
		c.commands.all = make(map[string]*commandClient)
	}
	cc := &commandClient{
		conn: c, service: service, owner: rand.Text(),
		watches: make(map[string]weak.Pointer[commandWatch]), queues: make(map[Storage]*openStream),
	}
	c.commands.all[service.Name] = cc
	c.void.Use(wire.KindCommand)
	return cc
}

// commandClient sends the commands of one service and hears of their results:
// those of all commands that it has sent come over one subscription.
type commandClient struct {
	conn    *Conn
	service *spec.Service
	owner   string // what the ids of its commands begin with
	last    atomic.Uint64

	mu      sync.Mutex
	sub     *nats.Subscription                    // nil before the first command
	watches map[string]weak.Pointer[commandWatch] // of commands that have not ended
	sweepAt int                                   // how many of them are looked through
	queues  map[Storage]*openStream
}

func (c *commandClient) newID() string {
	return c.owner + "." + strconv.FormatUint(c.last.Add(1), 36)
}

// queue is the stream of the commands.
func (c *commandClient) queue(s *Storage) *openStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[*s]
	if q == nil {
		o := c.conn.openStream(c.conn.commandStream(c.service, s), s.policy(func(text string) { c.conn.logger.Warn("aegis: " + text) }))
		q = &o
		c.queues[*s] = q
	}
	return q
}

// commandWatch is what has been heard of a command.
type commandWatch struct {
	mu       sync.Mutex
	progress *Progress // the last one
	reports  int       // how many came
	outcome  *nats.Msg
	send     string        // which of the commands with its id it is, once that is known
	known    bool          // it is
	changed  chan struct{} // closed when there is something new; for good with the outcome
}

// expect has what is told of earlier commands with the same key ignored.
func (w *commandWatch) expect(send string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send, w.known = send, true
}

func (w *commandWatch) heard(msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case strings.HasSuffix(msg.Subject, "."+wire.ResultResult):
		if w.outcome == nil && msg.Header.Get(wire.HeaderState) != "" {
			w.outcome = msg
			close(w.changed)
		}
	case strings.HasSuffix(msg.Subject, "."+wire.ResultProgress):
		p, ok := parseProgress(msg.Data)
		if !ok || !p.reported || w.known && p.send != w.send || w.progress != nil && *w.progress == p.Progress {
			return
		}
		w.progress = &p.Progress
		w.reports++
		if w.outcome == nil {
			close(w.changed)
			w.changed = make(chan struct{})
		}
	}
}

// state returns what there is, and what tells of more.
func (w *commandWatch) state() (outcome *nats.Msg, progress *Progress, reports int, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome, w.progress, w.reports, w.changed
}

// ended returns how the command has ended, nil for not as far as is known.
func (w *commandWatch) ended() *nats.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcome
}

// commandHandle is what does not depend on the message types.
type commandHandle struct {
	client *commandClient
	method *spec.Method
	id     string
	watch  *commandWatch
	live   bool   // what is published about it comes by itself
	broken *Error // why there is no such command
	// returns is how often the connection had come back when all that was stored
	// about it had been heard or read.
	returns atomic.Uint64
}

func (c *commandClient) handle(m *spec.Method, id string) *commandHandle {
	return &commandHandle{client: c, method: m, id: id, watch: &commandWatch{changed: make(chan struct{})}}
}

// expect hears what is published about a command that is about to be sent, until
// nobody has its handle any more.
func (c *commandClient) expect(h *commandHandle) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub == nil {
		sub, err := c.conn.nc.Subscribe(c.conn.subjects.Told(c.service.Name, c.owner+".*", "*"), c.heard)
		if err != nil {
			return storeError(fmt.Errorf("cannot subscribe to results: %w", err))
		}
		if !c.conn.start(func() { <-c.conn.ctx.Done(); _ = sub.Unsubscribe() }) {
			_ = sub.Unsubscribe() // the connection is closed
			return connClosed()
		}
		c.sub = sub
	}
	h.returns.Store(c.conn.bus.Link.Returns())
	c.watches[h.id] = weak.Make(h.watch)
	if len(c.watches) >= c.sweepAt {
		c.sweep()
	}
	h.live = true
	return nil
}

// sweep forgets those whose handles nobody has any more. It is done each time
// that there are twice as many as it left. c.mu is held.
func (c *commandClient) sweep() {
	maps.DeleteFunc(c.watches, func(_ string, watch weak.Pointer[commandWatch]) bool { return watch.Value() == nil })
	c.sweepAt = max(2*len(c.watches), leastSwept)
}

const leastSwept = 256

func (c *commandClient) heard(msg *nats.Msg) {
	id, ok := wire.ParseCommandID(msg.Subject, 1)
	if !ok {
		return
	}
	c.mu.Lock()
	watch := c.watches[id].Value()
	c.mu.Unlock()
	if watch == nil {
		return
	}
	watch.heard(msg)
	if watch.ended() != nil {
		c.mu.Lock()
		delete(c.watches, id)
		c.mu.Unlock()
	}
}

// lookTickers are those of waiters: hardly one waits until its ticker ticks.
var lookTickers = sync.Pool{New: func() any { return time.NewTicker(lookInterval) }}

// follow calls each with what becomes of the command until that returns true. It
// returns an error if ctx ends first, or there is no such command (any more).
func (h *commandHandle) follow(ctx context.Context, each func(outcome *nats.Msg, progress *Progress, reports int) (done bool)) error {
	if h.broken != nil {
		return h.broken
	}
	if err := ctxError(ctx); err != nil {
		return err
	}
	if outcome, progress, reports, _ := h.watch.state(); outcome != nil && each(outcome, progress, reports) {
		return nil
	}
	conn := h.client.conn
	if !h.live {
		h.returns.Store(conn.bus.Link.Returns())
		sub, err := conn.nc.Subscribe(conn.subjects.Told(h.client.service.Name, h.id, "*"), h.watch.heard)
		if err != nil {
			return storeError(fmt.Errorf("cannot subscribe to results: %w", err))
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
		if err := conn.flush(ctx); conn.closed() {
			return connClosed()
		} else if err != nil {
			return asError(err)
		}
	}
	looks := newCommandLooks(ctx, h)
	ticker, _ := lookTickers.Get().(*time.Ticker)
	ticker.Reset(lookInterval)
	defer func() { ticker.Stop(); lookTickers.Put(ticker) }()
	for {
		link := conn.bus.Link.State()
		if err := looks.round(ctx); err != nil {
			return err
		}
		outcome, progress, reports, changed := h.watch.state()
		if each(outcome, progress, reports) {
			return nil
		}
		select {
		case <-changed:
		case <-link.Changed():
		case <-ctx.Done():
			return looks.unended(ctx)
		case <-conn.ctx.Done():
			return connClosed()
		case <-ticker.C:
		}
	}
}

// missed reports whether there may be something that was not heard because the
// connection was down.
func (h *commandHandle) missed() bool {
	link := h.client.conn.bus.Link.State()
	return link.Up && link.Returns != h.returns.Load()
}

// read looks at what is stored beside the command; what fails is tried again
// later.
func (h *commandHandle) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	returns := h.client.conn.bus.Link.Returns()
	for _, what := range []string{wire.ResultProgress, wire.ResultResult} {
		msg, err := h.stored(ctx, what)
		if err != nil {
			return
		}
		if msg != nil {
			h.watch.heard(&msg.Msg)
		}
	}
	h.returns.Store(returns)
}

// stored returns what is stored beside the command; nil if nothing is.
func (h *commandHandle) stored(ctx context.Context, what string) (*stores.Stored, *Error) {
	return h.client.conn.lastStored(ctx, wire.ResultStream(h.client.conn.ns, h.client.service.Name),
		h.client.conn.subjects.Result(h.client.service.Name, h.id, what))
}

func (h *commandHandle) await(ctx context.Context) (*nats.Msg, error) {
	var found *nats.Msg
	err := h.follow(ctx, func(outcome *nats.Msg, _ *Progress, _ int) bool {
		found = outcome
		return found != nil
	})
	return found, err
}

// Progress returns the reports of the handler, beginning with the last one so
// far, until the command has ended, whichever way, or ctx ends, whose error is
// then the last element. A reader that is slower than the handler misses reports
// in between, never the last one.
func (c *Command[R]) Progress(ctx context.Context) iter.Seq2[*Progress, error] {
	return func(yield func(*Progress, error) bool) {
		seen, stopped := 0, false
		err := c.handle.follow(ctx, func(outcome *nats.Msg, progress *Progress, reports int) bool {
			if reports > seen {
				seen = reports
				p := *progress
				if stopped = !yield(&p, nil); stopped {
					return true
				}
			}
			return outcome != nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}
