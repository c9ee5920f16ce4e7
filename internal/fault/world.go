//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/runtime/election"
)

// setup is what a scenario needs around it.
type setup struct {
	servers    int // NATS servers: 1, or some in a cluster
	candidates int
	callers    int
	timeout    time.Duration // of a call, 0 for the method's own
	election   election.Config
	proxied    bool // candidates are connected through a proxy each
	tap        bool // somebody subscribes to everything
	together   bool // the candidates start at the same instant
	tagged     bool // the NATS servers have tags, see tagsOf
	procs      int  // GOMAXPROCS of all processes; 0: as Go has it
}

// Bounds on what the processes of a world may take.
const (
	readyWithin  = 60 * time.Second
	finishWithin = 20 * time.Second
	registerKeys = 64

	callsRoom    = 16 << 20 // records
	handlersRoom = 32 << 20
)

// world is a NATS server or three, candidates and callers, all processes of
// their own, and what the harness knows of them.
type world struct {
	setup
	log     *slog.Logger
	dir     string
	spawn   *spawner
	events  chan event
	monitor *nats.Conn
	js      jetstream.JetStream

	servers    []*natsServer
	candidates []*candidate
	callers    []*child
	made       int // candidates so far, to name them
	histories  map[string]string
	calls      []string
	storeLost  bool
	flooded    uint64
	unanswered []history.Record // calls of the harness itself
	windows    []window         // in which a fault may show

	mu      sync.Mutex
	changed chan struct{} // closed at each event
	ready   map[*child]int64
	leading map[uint64]*child // by term
	replied map[uint64]int64  // the first reply of a term
	next    int64             // the reply that was asked for
	counted *uint64           // the messages that were asked for
	told    told              // all else that children say
	said    map[*child]int64  // when a sender had sent all
}

// window is a time in which callers may get NOT_ACTIVE and LEADERSHIP_LOST.
type window struct{ from, to int64 }

// historySuffix ends the names of histories.
const historySuffix = ".history"

// candidate is a process that stands for election.
type candidate struct {
	*child
	order  roles.CandidateOrder
	server int         // the NATS server that it prefers
	proxy  *proxy.Held // nil if there is none
}

// newWorld starts everything but the callers' counting: use settle to wait until
// somebody leads.
func newWorld(ctx context.Context, s setup, log *slog.Logger) (_ *world, err error) {
	w := &world{
		setup: s, log: log, events: make(chan event, 1024), changed: make(chan struct{}),
		histories: make(map[string]string),
		ready:     make(map[*child]int64), leading: make(map[uint64]*child), replied: make(map[uint64]int64),
		told: make(told),
		said: make(map[*child]int64),
	}
	if w.dir, err = os.MkdirTemp("", "aegis-fault-"); err != nil {
		return nil, err
	}
	w.spawn = newSpawner(w.dir, w.events)
	w.spawn.procs = s.procs
	w.fault() // until somebody leads
	go w.follow()
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.startServers(ctx); err != nil {
		return nil, err
	}
	if err := w.watch(); err != nil {
		return nil, err
	}
	if err := w.startCallers(ctx); err != nil {
		return nil, err
	}
	for range s.candidates {
		if _, err := w.addCandidate(""); err != nil {
			return nil, err
		}
		if !s.together {
			if err := w.awaitReady(ctx, w.candidates[len(w.candidates)-1].child); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// follow takes the events of all children.
func (w *world) follow() {
	for e := range w.events {
		w.mu.Lock()
		switch e.name {
		case roles.EventReady:
			w.ready[e.from] = e.at
		case roles.EventLeading:
			w.leading[e.number] = e.from
		case roles.EventTerm:
			if at, known := w.replied[e.number]; !known || e.at < at {
				w.replied[e.number] = e.at
			}
		case roles.EventCount:
			w.counted = &e.number
		case roles.EventSent:
			w.said[e.from] = e.at
		case roles.EventNext:
			if w.next == 0 || e.at < w.next {
				w.next = e.at
			}
		default:
			w.told.hear(e)
		}
		close(w.changed)
		w.changed = make(chan struct{})
		w.mu.Unlock()
	}
}

// await returns when the condition holds, which is looked at after each event.
func (w *world) await(ctx context.Context, what string, within time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		w.mu.Lock()
		changed := w.changed
		ok := holds()
		w.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond): // conditions on the store make no event
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", within, what, ctx.Err())
		}
	}
}

func (w *world) awaitReady(ctx context.Context, c *child) error {
	err := w.await(ctx, c.name+" to be ready", readyWithin, func() bool { return w.ready[c] != 0 || !c.alive() })
	if err == nil && !c.alive() {
		return fmt.Errorf("%s ended before it was ready: %w\n%s", c.name, errOf(c), tail(filepath.Join(w.dir, c.name+".log")))
	}
	return err
}

func errOf(c *child) error {
	if c.err != nil {
		return c.err
	}
	return errors.New("without an error")
}

// tail is the end of a log, for a person.
func tail(path string) string {
	data, err := os.ReadFile(path) //nolint:gosec // our own log
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// addCandidate starts a candidate; without a name it gets a new one.
func (w *world) addCandidate(name string) (*candidate, error) {
	w.made++
	if name == "" {
		name = fmt.Sprint("c", w.made)
	}
	process := fmt.Sprint(name, "-", w.made)
	c := &candidate{server: (w.made - 1) % len(w.servers)}
	url := w.urls(c.server)
	if w.proxied {
		var err error
		if c.proxy, err = proxy.NewHeld(w.servers[c.server].address()); err != nil {
			return nil, err
		}
		url = "nats://" + c.proxy.Addr()
	}
	c.order = roles.CandidateOrder{
		URL: url, Instance: name, Replicas: len(w.servers), Election: w.election,
		History: filepath.Join(w.dir, process+historySuffix), Room: handlersRoom,
	}
	var err error
	if c.child, err = w.spawn.start(process, "candidate", c.order); err != nil {
		return nil, err
	}
	w.histories[process] = c.order.History
	w.candidates = append(w.candidates, c)
	return c, nil
}

// remove forgets a candidate that has ended.
func (w *world) remove(c *candidate) {
	if c.proxy != nil {
		c.proxy.Close()
	}
	for i, other := range w.candidates {
		if other == c {
			w.candidates = append(w.candidates[:i], w.candidates[i+1:]...)
			return
		}
	}
}

// replace starts a candidate in place of one that has ended, on the same server.
func (w *world) replace(ctx context.Context, c *candidate, name string) error {
	w.remove(c)
	fresh, err := w.addCandidate(name)
	if err != nil {
		return err
	}
	return w.awaitReady(ctx, fresh.child)
}

// startCallers starts one process of callers for each NATS server.
func (w *world) startCallers(ctx context.Context) error {
	processes := min(len(w.servers), w.setup.callers)
	for i := range processes {
		path := filepath.Join(w.dir, fmt.Sprint("callers-", i, historySuffix))
		count := w.setup.callers / processes
		if i == 0 {
			count += w.setup.callers % processes
		}
		c, err := w.spawn.start(fmt.Sprint("callers-", i), "callers", roles.CallersOrder{
			URL: w.urls(i), First: 1000 * i, Count: count, Keys: registerKeys,
			History: path, Room: callsRoom, Timeout: w.timeout,
		})
		if err != nil {
			return err
		}
		w.callers = append(w.callers, c)
		w.calls = append(w.calls, path)
		if err := w.awaitReady(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// watch connects the harness itself.
func (w *world) watch() error {
	var err error
	w.monitor, err = nats.Connect(w.urls(0), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.IgnoreAuthErrorAbort(), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(5), nats.Name("harness"))
	if err != nil {
		return err
	}
	if w.js, err = jetstream.New(w.monitor); err != nil {
		return err
	}
	if w.tap {
		if _, err = w.monitor.Subscribe(">", func(*nats.Msg) {}); err != nil {
			return err
		}
	}
	return w.monitor.Flush()
}

// urls are the client URLs, beginning with that of one server.
func (w *world) urls(first int) string {
	urls := make([]string, len(w.servers))
	for i := range urls {
		urls[i] = "nats://" + w.servers[(first+i)%len(w.servers)].address()
	}
	return strings.Join(urls, ",")
}

// record reads who leads from the store.
func (w *world) record(ctx context.Context) (election.Record, error) {
	msg, err := w.lastRecord(ctx)
	if err != nil {
		return election.Record{}, err
	}
	return election.DecodeRecord(msg.Data)
}

// revision is that of the last leader record.
func (w *world) revision(ctx context.Context) (uint64, error) {
	msg, err := w.lastRecord(ctx)
	if err != nil {
		return 0, err
	}
	return msg.Sequence, nil
}

func (w *world) lastRecord(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := w.js.Stream(ctx, leaderStream)
	if err != nil {
		return nil, err
	}
	return stream.GetLastMsgForSubject(ctx, "$KV.aegis-leaders.>")
}

// leader returns the candidate that leads a term, nil if it is not known.
func (w *world) leader(term uint64) *candidate {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.candidates {
		if w.leading[term] == c.child && c.alive() {
			return c
		}
	}
	return nil
}

// settle waits until somebody leads, is called, and is looked after: by the two
// probers that it names, where all are on one NATS server. Then it waits for a
// random time of up to two renewals, so that a fault meets them at any phase.
func (w *world) settle(ctx context.Context) (leader *candidate, term uint64, err error) {
	settled := func() bool {
		r, err := w.record(ctx)
		if err != nil || r.Released {
			return false
		}
		if len(w.servers) == 1 && w.setup.candidates > 1 && r.Probers[min(w.setup.candidates-1, election.MaxProbers)-1] == "" {
			return false
		}
		term = uint64(r.Term)
		leader = w.leader(term)
		w.mu.Lock()
		defer w.mu.Unlock()
		return leader != nil && w.replied[term] != 0
	}
	if err := wait.Until(ctx, "a settled leader", readyWithin, settled); err != nil {
		return nil, 0, err
	}
	if _, err := w.nextReply(ctx, readyWithin); err != nil {
		return nil, 0, err
	}
	w.healed()
	wait.For(ctx, rand.N(w.election.Lease/2))
	return leader, term, ctx.Err()
}

// askNext asks the callers for their next accepted reply.
func (w *world) askNext() error {
	w.mu.Lock()
	w.next = 0
	w.mu.Unlock()
	for _, c := range w.callers {
		if err := c.command(roles.CommandNext); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) awaitNext(ctx context.Context, within time.Duration) (int64, error) {
	err := w.await(ctx, "the next reply", within, func() bool { return w.next != 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next, err
}

// nextReply returns when a call that begins from now on was accepted.
func (w *world) nextReply(ctx context.Context, within time.Duration) (int64, error) {
	if err := w.askNext(); err != nil {
		return 0, err
	}
	return w.awaitNext(ctx, within)
}

// newLeader returns when the first reply of a later term came.
func (w *world) newLeader(ctx context.Context, term uint64) (int64, error) {
	first := int64(0)
	err := w.await(ctx, "a reply of a new leader", leaderWithin, func() bool {
		for t, at := range w.replied {
			if t > term && (first == 0 || at < first) {
				first = at
			}
		}
		return first != 0
	})
	return first, err
}

// finish lets callers and then candidates come to their end.
func (w *world) finish(ctx context.Context) error {
	var errs []error
	for _, c := range w.callers {
		errs = append(errs, c.finish(ctx))
	}
	for _, c := range w.candidates {
		_ = c.signal(syscall.SIGCONT)
		if c.proxy != nil {
			c.proxy.There.Open()
			c.proxy.Back.Open()
		}
	}
	for _, c := range w.candidates {
		errs = append(errs, c.finish(ctx))
	}
	return errors.Join(errs...)
}

// close kills what still runs and removes all files.
func (w *world) close() {
	for _, c := range w.callers {
		c.kill()
	}
	for _, c := range w.candidates {
		c.kill()
		if c.proxy != nil {
			c.proxy.Close()
		}
	}
	if w.monitor != nil {
		w.monitor.Close()
	}
	for _, s := range w.servers {
		s.close()
	}
	_ = os.RemoveAll(w.dir) // a temporary folder
}

// fault opens a window for what callers may see of a fault.
func (w *world) fault() { w.windows = append(w.windows, window{from: history.Now()}) }

// healed closes it.
func (w *world) healed() {
	if n := len(w.windows); n > 0 && w.windows[n-1].to == 0 {
		w.windows[n-1].to = history.Now()
	}
}
