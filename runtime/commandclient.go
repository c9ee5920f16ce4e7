package aegis

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
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
	c.void.use(wire.KindCommand)
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
	sub     *nats.Subscription // nil before the first command
	watches map[string]weak.Pointer[commandWatch]
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
		q = &openStream{conn: c.conn, config: c.conn.commandStream(c.service, s)}
		q.policy = s.policy(func(text string) { c.conn.logger.Warn("aegis: " + text) })
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
	changed  chan struct{} // closed when there is something new
}

func (w *commandWatch) heard(msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case strings.HasSuffix(msg.Subject, "."+wire.ResultResult):
		if w.outcome == nil && msg.Header.Get(wire.HeaderState) != "" {
			w.outcome = msg
		}
	case strings.HasSuffix(msg.Subject, "."+wire.ResultProgress):
		if p, ok := parseProgress(msg.Data); ok && p.reported {
			if w.progress == nil || *w.progress != p.Progress {
				w.progress = &p.Progress
				w.reports++
			}
		}
	default:
		return
	}
	close(w.changed)
	w.changed = make(chan struct{})
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
	// reconnects is how often the connection had been made anew when all that was
	// stored about it had been heard or read.
	reconnects atomic.Uint64
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
		sub, err := c.conn.nc.Subscribe(c.conn.subjects.Results(c.service.Name, c.owner), c.heard)
		if err != nil {
			return Errorf(CodeInternal, "cannot subscribe to results: %w", err)
		}
		if !c.conn.start(func() { <-c.conn.ctx.Done(); _ = sub.Unsubscribe() }) {
			_ = sub.Unsubscribe() // the connection is closed
			return connClosed()
		}
		c.sub = sub
	}
	h.reconnects.Store(c.conn.nc.Stats().Reconnects)
	c.watches[h.id] = weak.Make(h.watch)
	runtime.AddCleanup(h.watch, c.forget, h.id)
	h.live = true
	return nil
}

func (c *commandClient) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watches, id)
}

func (c *commandClient) heard(msg *nats.Msg) {
	id, ok := wire.ParseCommandID(msg.Subject, 1)
	if !ok {
		return
	}
	c.mu.Lock()
	watch := c.watches[id].Value()
	c.mu.Unlock()
	if watch != nil {
		watch.heard(msg)
	}
}

const (
	// lookInterval is how often one who waits looks whether the connection was made
	// anew; and every so many of those, in any case at what is stored.
	lookInterval = 250 * time.Millisecond
	looksPerRead = 20
)

// follow calls each with what becomes of the command until that returns true. It
// returns an error if ctx ends first, or there is no such command.
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
		h.reconnects.Store(conn.nc.Stats().Reconnects)
		sub, err := conn.nc.Subscribe(conn.subjects.Result(h.client.service.Name, h.id, "*"), h.watch.heard)
		if err != nil {
			return Errorf(CodeInternal, "cannot subscribe to results: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
		if err := conn.flush(ctx); err != nil {
			return asError(err)
		}
		if err := h.recall(ctx); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for looks := 0; ; {
		if h.missed() || looks == looksPerRead {
			h.read(ctx)
			looks = 0
		}
		outcome, progress, reports, changed := h.watch.state()
		if each(outcome, progress, reports) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return asError(ctx.Err())
		case <-conn.ctx.Done():
			return connClosed()
		case <-ticker.C:
			looks++
		}
	}
}

// missed reports whether there may be something that was not heard because the
// connection was down.
func (h *commandHandle) missed() bool {
	return h.client.conn.nc.Stats().Reconnects != h.reconnects.Load()
}

// recall reads what is stored of a command that another process, or an earlier
// one, has sent; it is an error if there is no such command.
func (h *commandHandle) recall(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultStoreTimeout)
	defer cancel()
	status, err := h.status(ctx)
	if err != nil {
		return err
	}
	if status.State == CommandUnknown {
		return Errorf(CodeNotFound, "there is no command %s of %s.%s, or its result is kept no longer", h.id, h.client.service.Name, h.method.Name)
	}
	return nil
}

// read looks at what is stored; what fails is tried again later.
func (h *commandHandle) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, defaultStoreTimeout)
	defer cancel()
	reconnects := h.client.conn.nc.Stats().Reconnects
	for _, what := range []string{wire.ResultProgress, wire.ResultResult} {
		msg, err := h.stored(ctx, what)
		if err != nil {
			return
		}
		if msg != nil {
			h.watch.heard(msg)
		}
	}
	h.reconnects.Store(reconnects)
}

// stored returns what is stored beside the command; nil if nothing is.
func (h *commandHandle) stored(ctx context.Context, what string) (*nats.Msg, *Error) {
	msg, err := h.client.conn.lastStored(ctx, wire.ResultStream(h.client.conn.ns, h.client.service.Name),
		h.client.conn.subjects.Result(h.client.service.Name, h.id, what))
	if msg == nil || err != nil {
		return nil, err
	}
	return &msg.Msg, nil
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

// CommandState says where a command is in its life.
type CommandState int

// The states.
const (
	// CommandUnknown: there is no such command, or its result is kept no longer.
	CommandUnknown CommandState = iota
	// CommandScheduled: it is not due yet.
	CommandScheduled
	// CommandQueued: it waits for a worker, or its first attempt has run for less
	// than a second.
	CommandQueued
	// CommandRunning: a worker has begun it; between attempts too.
	CommandRunning
	// CommandSucceeded: it has a result.
	CommandSucceeded
	// CommandFailed: it has ended with an error, and is among the dead letters.
	CommandFailed
	// CommandCanceled: it was canceled.
	CommandCanceled
	// CommandExpired: its expiry came before a worker.
	CommandExpired
)

const stateUnknown = "UNKNOWN"

// String returns the state's name in capitals, such as "RUNNING".
func (s CommandState) String() string {
	names := [...]string{stateUnknown, "SCHEDULED", "QUEUED", "RUNNING", wire.StateSucceeded, wire.StateFailed, wire.StateCanceled, wire.StateExpired}
	if s < 0 || int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// Ended reports whether the state is the last one.
func (s CommandState) Ended() bool { return s >= CommandSucceeded }

// CommandStatus is what is known of a command.
type CommandStatus struct {
	State CommandState
	// Attempt is the number of the last attempt that is known of, 0 for none.
	Attempt int
	// Progress is the last report, nil for none.
	Progress *Progress
	// Canceling: it was canceled, and has not ended yet.
	Canceling bool
	// Err is why a command has failed, was canceled or has expired, as Result
	// returns it.
	Err error
}

// Status returns what is known of the command now. It is no error if there is no
// such command: see CommandUnknown.
func (c *Command[R]) Status(ctx context.Context) (*CommandStatus, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.handle.status(ctx)
}

func (h *commandHandle) status(ctx context.Context) (*CommandStatus, error) {
	if h.broken != nil {
		return nil, h.broken
	}
	s := &CommandStatus{}
	outcome := h.watch.ended()
	if outcome == nil {
		var err *Error
		if outcome, err = h.stored(ctx, wire.ResultResult); err != nil {
			return nil, err
		}
	}
	if progress, err := h.stored(ctx, wire.ResultProgress); err != nil {
		return nil, err
	} else if progress != nil {
		h.watch.heard(progress)
		if p, ok := parseProgress(progress.Data); ok {
			s.State, s.Attempt = CommandRunning, p.attempt
			if p.reported {
				s.Progress = &p.Progress
			}
		}
	}
	if outcome != nil {
		h.watch.heard(outcome)
		s.ended(outcome)
		return s, nil
	}
	if stop, err := h.stored(ctx, wire.ResultStop); err != nil {
		return nil, err
	} else if stop != nil && string(stop.Data) != wire.StopOver {
		s.Canceling = true
	}
	return s, h.queued(ctx, s)
}

func (s *CommandStatus) ended(outcome *nats.Msg) {
	for state := CommandSucceeded; state <= CommandExpired; state++ {
		if state.String() == outcome.Header.Get(wire.HeaderState) {
			s.State = state
		}
	}
	if n, err := strconv.Atoi(outcome.Header.Get(wire.HeaderAttempt)); err == nil {
		s.Attempt = n
	}
	if err := outcomeError(outcome); err != nil {
		s.Err = err
	}
}

// queued looks for the command itself.
func (h *commandHandle) queued(ctx context.Context, s *CommandStatus) error {
	service := h.client.service.Name
	stream, err := h.client.conn.stores.Find(ctx, wire.CommandStream(h.client.conn.ns, service))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.State = CommandUnknown
		return nil
	}
	if err != nil {
		return storeError(err)
	}
	subjects := h.client.conn.subjects
	for _, place := range []struct {
		subject string
		state   CommandState
	}{
		{subjects.Command(service, h.method.Name, "*", h.id), max(s.State, CommandQueued)},
		{subjects.CommandAt(service, h.method.Name, "*", h.id), CommandScheduled},
	} {
		_, err := stream.GetLastMsgForSubject(ctx, place.subject)
		if err == nil {
			s.State = place.state
			return nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return storeError(err)
		}
	}
	// It may have ended between the two looks.
	outcome, failure := h.stored(ctx, wire.ResultResult)
	switch {
	case failure != nil:
		return failure
	case outcome != nil:
		s.ended(outcome)
	default:
		s.State = CommandUnknown
	}
	return nil
}

// Cancel asks for the end of the command and returns when that is stored: one
// that has not begun never will, and the context of a handler that runs ends.
// What such a handler then returns decides: a response makes the command succeed,
// an error makes it canceled. The code of the error is CodeFailedPrecondition if
// the command has ended already, and CodeNotFound if there is none.
func (c *Command[R]) Cancel(ctx context.Context) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.handle.cancel(ctx)
}

func (h *commandHandle) cancel(ctx context.Context) error {
	status, err := h.status(ctx)
	if err != nil {
		return err
	}
	switch {
	case status.State == CommandUnknown:
		return Errorf(CodeNotFound, "there is no command %s of %s.%s, or its result is kept no longer", h.id, h.client.service.Name, h.method.Name)
	case status.State.Ended():
		return Errorf(CodeFailedPrecondition, "the command %s has ended already, as %s", h.id, status.State)
	}
	results := h.client.results()
	deadline, _ := ctx.Deadline()
	if err := results.ensureWithin(ctx, deadline); err != nil {
		return err
	}
	if status.State == CommandScheduled {
		return h.cancelScheduled(ctx, results, deadline)
	}
	return h.publishStop(ctx, results, deadline)
}

// results is the stream of the results, as whoever came first has made it.
func (c *commandClient) results() *openStream {
	return &openStream{
		conn: c.conn, config: c.conn.resultStream(c.service, &Storage{}),
		policy: (&Storage{}).policy(func(string) {}),
	}
}

// minStopTTL keeps a cancel for commands that wait for long.
const minStopTTL = 7 * 24 * time.Hour

func (h *commandHandle) publishStop(ctx context.Context, results *openStream, deadline time.Time) error {
	subject := h.client.conn.subjects.Result(h.client.service.Name, h.id, wire.ResultStop)
	header := nats.Header{wire.HeaderTTL: {max(h.method.Command.ResultTTL, minStopTTL).String()}}
	slot := h.client.conn.mux.acquire()
	defer h.client.conn.mux.release(slot)
	slot.payload = slot.payload[:0]
	_, err := results.store(ctx, slot, &storing{subject: &subject, header: header, deadline: deadline, again: true})
	if err != nil {
		return err
	}
	return nil
}

// cancelScheduled takes the command out of the schedule; if it has just entered
// the queue, it is canceled there.
func (h *commandHandle) cancelScheduled(ctx context.Context, results *openStream, deadline time.Time) error {
	// First of all, should the command become due meanwhile.
	if err := h.publishStop(ctx, results, deadline); err != nil {
		return err
	}
	service := h.client.service.Name
	stream, err := h.client.conn.stores.Find(ctx, wire.CommandStream(h.client.conn.ns, service))
	if err != nil {
		return storeError(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(h.client.conn.subjects.CommandAt(service, h.method.Name, "*", h.id))); err != nil {
		return storeError(err)
	}
	if status, err := h.status(ctx); err != nil || status.State != CommandUnknown {
		return err // a worker ends it
	}
	o := outcomeOf(wire.StateCanceled, errCanceledCommand, 0)
	if err := o.store(ctx, results, service, h.id, h.method.Command.ResultTTL, deadline); err != nil {
		return err
	}
	return nil
}
