package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/attempts"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// defaultCommandConcurrency is how many commands of one method an instance works
// on at once.
const defaultCommandConcurrency = 16

func (o ConcurrencyOption) applyService(c *serviceConfig) error {
	c.concurrency = o.n
	return o.check()
}

// checkCommandOptions refuses options that would do nothing.
func checkCommandOptions(desc *spec.Service, cfg *serviceConfig) error {
	if desc.CommandStorage != nil {
		return nil
	}
	switch {
	case cfg.storage != (Storage{}):
		return invalidOption("WithStorage: %s has no command; the storage of events is an option of publishers and subscribers", desc.Name)
	case cfg.concurrency != 0:
		return invalidOption("WithConcurrency: %s has no command; use WithMaxConcurrency for calls", desc.Name)
	}
	return nil
}

// commandWork is what works the commands of a service.
func (s *Server) commandWork(service *service) []workload {
	var work []workload
	var stops *commandStops
	for _, m := range service.methods {
		if m.method.Command == nil || !m.served {
			continue
		}
		if stops == nil {
			stops = &commandStops{server: s, service: service.spec.Name}
			work = append(work, stops)
		}
		work = append(work, newCommandWorker(s, service, m, stops))
	}
	// Those of one group are worked one after the other.
	turns := make(map[string]*sync.Mutex)
	for _, w := range work {
		if w, ok := w.(*commandWorker); ok && w.method.method.Group != "" {
			if turns[w.method.method.Group] == nil {
				turns[w.method.method.Group] = &sync.Mutex{}
			}
			w.turn = turns[w.method.method.Group]
		}
	}
	return work
}

// commandWorker works the commands of one method.
type commandWorker struct {
	server  *Server
	service *service
	method  *serverMethod
	stops   *commandStops
	queue   openStream
	results openStream
	dead    deadLetters
	records attemptRecords
	letters *deadStream
	turn    *sync.Mutex // nil unless the method is single active
	// resultTTL is how long results are kept, as a header says it.
	resultTTL string

	halt   context.CancelFunc
	leads  sync.WaitGroup // follows the leaderships
	flight sync.WaitGroup // handlers

	mu      sync.Mutex
	stopped bool
	levels  []*level     // those that are pulled from, the highest first
	old     []*level     // of earlier terms, while something is held
	busy    int          // handlers
	flying  atomic.Int64 // handlers, and results that are not stored yet
	pace    pull.Pace
	ahead   int
	part    part
	causes  causes
}

// level is the consumer of one priority.
type level struct {
	name    string
	puller  *pull.Puller
	waiting []*pull.Message
	// backlog is until when there is believed to be more.
	backlog time.Time
	term    *term // of a single active method
}

func newCommandWorker(s *Server, service *service, m *serverMethod, stops *commandStops) *commandWorker {
	w := &commandWorker{server: s, service: service, method: m, stops: stops, resultTTL: m.method.Command.ResultTTL.String()}
	conn, storage := s.conn, &service.storage
	w.part = part{of: &s.parts, name: "the commands of " + m.spec.name(), logger: w.logger}
	w.causes.part = &w.part
	policy := storage.policy(warnOnce(w.logger))
	w.queue = conn.openStream(conn.commandStream(service.spec, storage), policy)
	w.results = conn.openStream(conn.resultStream(service.spec, storage), policy)
	w.records = attemptRecords{
		stream: &w.results, subject: w.attemptsOf, most: m.method.Command.Retry.MaxAttempts,
		ttl: max(m.method.Command.ResultTTL, attemptsTTL), logger: w.logger,
	}
	w.records.init()
	w.dead.init(conn, service.spec.Name, storage, service.spec.CommandStorage, policy)
	w.letters = newDeadStream(s, &w.dead, w.logger)
	return w
}

func (w *commandWorker) spec() *spec.CommandSpec { return w.method.method.Command }

func (w *commandWorker) logger() *slog.Logger {
	return w.server.logger.With("command_method", w.method.spec.name())
}

// most is how many handlers run at once.
func (w *commandWorker) most() int {
	switch {
	case w.turn != nil:
		return 1
	case w.service.concurrency > 0:
		return w.service.concurrency
	default:
		return defaultCommandConcurrency
	}
}

func (w *commandWorker) start(ctx context.Context) error {
	if err := w.stops.start(ctx); err != nil {
		return err
	}
	levels := wire.Levels()
	if w.turn != nil {
		levels = []string{wire.LevelNormal}
	}
	for _, name := range levels {
		if _, err := w.open(ctx, name); err != nil {
			if lasting(err) {
				return fmt.Errorf("aegis: work the commands of %s: %w", w.method.spec.name(), err)
			}
			w.causes.fails(w.consumerName(name), err)
			break
		}
	}
	if err := w.letters.start(ctx); err != nil {
		return fmt.Errorf("aegis: work the commands of %s: %w", w.method.spec.name(), err)
	}
	life, halt := context.WithCancel(context.Background())
	w.halt = halt
	w.leads.Go(func() { w.letters.follow(life) })
	if w.turn != nil {
		w.leads.Go(func() { w.follow(life) })
		w.leads.Go(func() { w.seek(life) })
		return nil
	}
	w.leads.Go(func() { w.tend(life) })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range levels {
		if err := w.pull(name, nil); err != nil {
			return err
		}
	}
	w.widen(time.Now())
	return nil
}

// seek tries until a standby could work commands as well, if the start has found that
// it could not: it pulls none until it leads.
func (w *commandWorker) seek(life context.Context) {
	name := w.consumerName(wire.LevelNormal)
	for pause := firstDeadPause; w.causes.failed(name); pause = min(2*pause, lastDeadPause) {
		if !bus.Sleep(life, pause, time.Now().Add(time.Hour)) {
			return
		}
		w.mu.Lock()
		pulling := len(w.levels) > 0
		w.mu.Unlock()
		if pulling {
			continue // the puller says so
		}
		if _, err := w.open(life, wire.LevelNormal); err == nil {
			w.causes.works(name)
		} else if life.Err() == nil {
			w.causes.fails(name, err)
		}
	}
}

func (w *commandWorker) consumerName(level string) string {
	return wire.WorkerConsumer(w.method.spec.Method, level)
}

// open finds or makes the streams and the consumer of a level.
func (w *commandWorker) open(ctx context.Context, level string) (pull.Source, error) {
	js := w.server.conn.stores
	queue, err := js.Stream(ctx, w.queue.Want, w.queue.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	if _, err := js.Stream(ctx, w.results.Want.AtLeast(&queue.CachedInfo().Config), w.results.Policy); err != nil {
		return pull.Source{}, err
	}
	w.results.Found()
	w.letters.beside(queue)
	name := w.consumerName(level)
	want := jetstream.ConsumerConfig{
		Name: name, Durable: name,
		Description:   "Aegis: " + w.method.spec.name(),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       w.spec().AckWait,
		MaxDeliver:    -1, // the runtime counts: what NATS gives up has no result
		MaxAckPending: maxUnacknowledged,
		FilterSubject: w.server.conn.subjects.CommandsOf(w.service.spec.Name, w.method.spec.Method, level),
	}
	if w.turn != nil {
		want.MaxAckPending = 1 // in order, whoever believes to lead
	}
	c, err := js.Consumer(ctx, w.queue.Want.Name, want, w.queue.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	return sourceOf(w.server.conn, c), nil
}

// pull begins to take the commands of a level. w.mu is held.
func (w *commandWorker) pull(name string, t *term) error {
	// Lower levels come when it is known that the higher ones have nothing.
	l := &level{name: name, term: t, backlog: time.Now().Add(backlogFor)}
	options := w.causes.pulling(w.server.conn, w.queue.Want.Name, w.consumerName(name))
	options.Open = func(ctx context.Context) (pull.Source, error) { return w.open(ctx, name) }
	options.Deliver = func(m *pull.Message) { w.delivered(l, m) }
	if t != nil {
		options.Backlog = nil // one at a time is how it is meant
	}
	var err error
	l.puller, err = pull.Start(options)
	if err != nil {
		return fmt.Errorf("aegis: work the commands of %s: %w", w.method.spec.name(), err)
	}
	w.levels = append(w.levels, l)
	return nil
}

const (
	tendInterval = 50 * time.Millisecond
	// backlogFor is how long a level is believed to have more, unless it delivers.
	backlogFor = 200 * time.Millisecond
)

// tend lets lower levels in again when a higher one turns out to be empty.
func (w *commandWorker) tend(ctx context.Context) {
	ticker := time.NewTicker(tendInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			w.mu.Lock()
			w.widen(now)
			w.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// delivered takes a command that was delivered.
func (w *commandWorker) delivered(l *level, m *pull.Message) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	l.waiting = append(l.waiting, m)
	l.backlog = time.Time{}
	if m.Pending > 0 {
		l.backlog = now.Add(backlogFor)
	}
	w.dispatch()
}

// dispatch begins what waits, the highest level first. w.mu is held.
func (w *commandWorker) dispatch() {
	for _, levels := range [...][]*level{w.levels, w.old} { // without an allocation: it is done for each command
		for _, l := range levels {
			for len(l.waiting) > 0 && w.busy < w.most() {
				m := l.waiting[0]
				l.waiting = l.waiting[1:]
				w.busy++
				w.flying.Add(1)
				w.flight.Add(1)
				c := &commandMessage{worker: w, message: m, term: l.term}
				go c.one()
			}
		}
	}
}

// one works the command, and looks what is next.
func (c *commandMessage) one() {
	w, m := c.worker, c.message
	defer w.flight.Done()
	defer w.flying.Add(-1)
	defer c.free() // also if the handler ends its goroutine
	if w.server.expired.Load() {
		w.records.giveBackTaken(m, 0) // somebody else has time for it
		return
	}
	if w.turn != nil {
		w.turn.Lock()
		defer w.turn.Unlock()
	}
	c.work()
}

// free lets another handler run, once.
func (c *commandMessage) free() {
	if c.freed {
		return
	}
	c.freed = true
	now, w := time.Now(), c.worker
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	w.ahead = w.pace.Done(now)
	w.dispatch()
	w.widen(now)
}

// widen asks for as many commands of a level as there is room for beside those of
// its own and of higher levels that wait, and for none while a higher level has
// more. w.mu is held.
func (w *commandWorker) widen(now time.Time) {
	if w.stopped || w.turn != nil {
		return
	}
	room := w.most() - w.busy + min(w.ahead, max(w.most(), minAhead))
	blocked := false
	for i, l := range w.levels {
		room -= len(l.waiting)
		ask := max(room, 0)
		if i+1 < len(w.levels) && len(l.waiting) == 0 {
			ask = max(ask, 1) // so that what is urgent is there when a handler ends
		}
		if blocked {
			ask = 0
		}
		l.puller.SetWindow(l.puller.Held() + ask)
		blocked = blocked || now.Before(l.backlog)
	}
}

// minAhead is how many quick commands may be held ahead in any case.
const minAhead = 16

// work works one command from its delivery to its acknowledgement. What is not
// acknowledged comes again.
func (c *commandMessage) work() {
	w, m := c.worker, c.message
	var ok bool
	if c.id, ok = wire.ParseCommandID(m.Subject, 0); !ok {
		w.logger().Error("aegis: a command without an id is dropped; only Aegis publishes to this subject", "subject", m.Subject)
		_ = m.Ack() // if it is lost it is dropped again
		return
	}
	c.send = m.Header.Get(wire.HeaderSend)
	if !w.mayWork(c) {
		w.records.giveBackTaken(m, leaderPause) // to whoever leads
		return
	}
	// The result is looked for last: each look may take long, and another worker may
	// have the command as well.
	var err *Error
	if c.try, err = w.records.look(w.server.base, m); err != nil {
		w.logger().Warn("aegis: it cannot be seen how many attempts a command has had; it is looked at again", "command", c.id, "err", err)
		_ = m.Nak(backoffAfter(w.spec().Retry, 1)) // else it comes when its time is over
		return
	}
	switch ended, err := c.hasEnded(); {
	case err != nil:
		w.logger().Warn("aegis: it cannot be seen whether a command has a result; it is looked at again", "command", c.id, "err", err)
		_ = m.Nak(backoffAfter(w.spec().Retry, 1)) // as above
	case ended:
		_ = m.Ack() // if it is lost it has still ended
	case c.canceled():
		c.finish(outcomeOf(wire.StateCanceled, errCanceledCommand, 0))
	default:
		c.attempt()
	}
}

// mayWork looks at the lease of a leader, as late as can be. It waits while the
// leader is suspended: whoever leads next would have to wait as well.
func (w *commandWorker) mayWork(c *commandMessage) bool {
	return c.term == nil || c.term.mayReply(w.server.clock) && c.term.lease.MayAct(w.server.clock.Now())
}

// commandMessage is one command in a worker's hands.
type commandMessage struct {
	worker  *commandWorker
	message *pull.Message
	id      string
	send    string // which of the commands with its id it is
	term    *term  // nil unless the method is single active
	freed   bool   // another handler may run
	try     attempts.Try
	pass    pass // while the handler runs
}

// hasEnded looks for a result where there may be one: of a worker that was lost
// before it could acknowledge, or of an earlier command with the same key.
func (c *commandMessage) hasEnded() (bool, *Error) {
	if c.message.Delivered() == 1 && c.id[:2] != wire.KeyOwner+"." {
		return false, nil
	}
	w := c.worker
	ctx, cancel := context.WithTimeout(w.server.base, stores.DefaultTimeout)
	defer cancel()
	msg, err := w.server.conn.lastStored(ctx, w.results.Want.Name, w.server.conn.subjects.Result(w.service.spec.Name, c.id, wire.ResultResult))
	if msg == nil || err != nil {
		return false, err
	}
	w.server.conn.tellResult(w.service.spec.Name, c.id, msg.Header, msg.Data) // should the one that was lost not have done so
	return true, nil
}

func (c *commandMessage) canceled() bool {
	_, stopped := c.worker.stops.of(c.id, c.send)
	return stopped
}

func (c *commandMessage) expired(now time.Time) bool {
	at := c.message.Header.Get(wire.HeaderExpires)
	if at == "" {
		return false
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	return err == nil && now.UnixMilli() >= ms
}

// run runs the handler.
func (c *commandMessage) run() {
	w, m := c.worker, c.message
	req := w.method.request()
	if unreadable := readMessage(m.Msg, req); unreadable != nil {
		w.method.stats.refused(time.Now(), unreadable)
		c.bury(c.try.Counted()+1, unreadable)
		return
	}
	if !c.begin() {
		return
	}
	number := c.try.Number()
	base := w.server.base
	if c.term != nil {
		base = c.term.base
	}
	inner, cancel := context.WithCancelCause(base)
	defer cancel(nil)
	r := &commandRun{worker: w, id: c.id, send: c.send, attempt: number, cancel: cancel}
	ctx := &commandContext{
		Context: inner,
		call: Call{
			spec: w.method.spec, instance: w.server.cfg.instance, attempt: number,
			incoming: func() Header {
				h, err := decodeHeader(m.Header)
				if err != nil {
					return Header{} // a value that is no base64 is nobody's
				}
				return h
			},
		},
		job: Job{ID: c.id, Attempt: number, run: r},
	}
	if c.term != nil {
		ctx.call.term = c.term.info
	}
	r.begin()
	w.stops.begun(c.id, c.send, cancel)
	var res proto.Message
	began := time.Now()
	w.method.stats.begin()
	w.server.guarded(w.method.spec.name(), func(err error) {
		w.server.alone.end(c.pass)
		r.end()
		w.stops.ended(c.id)
		w.method.stats.done(began, errorOrNil(err))
		c.ended(ctx, res, err)
	}, func() (err error) {
		res, err = w.method.handle(ctx, req)
		if err == nil && !w.method.response(res) {
			err = Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", w.method.spec.name(), res)
		}
		return err
	})
}

func errorOrNil(err error) *Error {
	if err == nil {
		return nil
	}
	return asError(err)
}

// ended decides what becomes of a command whose handler has returned.
func (c *commandMessage) ended(ctx *commandContext, res proto.Message, err error) {
	w, m := c.worker, c.message
	if c.term == nil {
		c.free() // storing the result takes time, and no handler
	}
	if c.term != nil && !c.term.mayReply(w.server.clock) {
		// Another one leads now and works the command again, or has done so.
		w.logger().Warn("aegis: the leadership was lost while a command was worked", "command", c.id)
		w.records.giveBack(w.server.base, m, c.try, true, 0)
		return
	}
	cause := context.Cause(ctx.Context)
	if timeout, ok := errors.AsType[*attemptTimeoutError](cause); ok && err != nil {
		err = fmt.Errorf("%w: %w", timeout, err)
	}
	retry := w.spec().Retry
	switch {
	case err == nil:
		c.succeed(ctx, res)
	case w.method.lacks(err):
		w.withdraw()
		w.records.giveBack(w.server.base, m, c.try, true, 0) // to an instance that has the method
	case errors.Is(cause, errCanceledCommand):
		c.finish(outcomeOf(wire.StateCanceled, errCanceledCommand, c.try.Number()))
	case w.server.expired.Load():
		w.records.giveBack(w.server.base, m, c.try, true, 0) // the server's patience ended it; another worker may do better
	case IsPermanent(err), c.try.Last():
		c.bury(c.try.Counted()+1, handlerError(err))
	default:
		pause := backoffAfter(retry, c.try.Counted()+1)
		w.logger().Warn("aegis: the handler of a command failed", "command", c.id, "attempt", c.try.Number(), "again_in", pause, "err", original(err))
		w.records.failed(w.server.base, m, c.try)
		_ = m.Nak(pause) // else it comes when its time is over
	}
}

func (c *commandMessage) succeed(ctx *commandContext, res proto.Message) {
	o, failure := succeeded(res, ctx.call.response, c.try.Number())
	if failure == nil {
		if most := c.worker.server.conn.nc.MaxPayload(); int64(len(o.payload)) > most {
			failure = tooLarge("the result", len(o.payload), most, bus.SendLess)
		}
	}
	if failure != nil {
		c.bury(c.try.Counted()+1, failure)
		return
	}
	c.finish(o)
}

// finish stores how the command has ended, and acknowledges it. It does not give
// up before the server does: what was done once should not be done again because
// of NATS. It returns how the command has ended, which another worker may have
// decided before; "" if the server has given up.
func (c *commandMessage) finish(o *commandOutcome) (state string) {
	if state = c.storeOutcome(o); state == "" {
		return ""
	}
	_ = c.message.Ack() // if it is lost, the result tells the next worker
	if c.message.Delivered() > 1 || c.worker.records.most == 1 {
		c.worker.records.forget(c.message)
	}
	if stop, ok := c.worker.stops.of(c.id, c.send); ok {
		c.worker.results.forgetStop(c.worker.server.base, c.worker.service.spec.Name, c.id, stop.sequence)
	}
	return state
}

func (c *commandMessage) storeOutcome(o *commandOutcome) (state string) {
	w := c.worker
	for attempt := 1; ; attempt++ {
		o.of(c.send, w.resultTTL)
		state, err := o.store(w.server.base, &w.results, w.service.spec.Name, c.id, time.Now().Add(deadTimeout))
		if err == nil {
			return state
		}
		if err.Reason() == ReasonTooLarge || err.Code() == CodeInvalidArgument { // its headers, besides
			o = outcomeOf(wire.StateFailed, err, c.try.Number())
			continue
		}
		w.logger().Error("aegis: the result of a command cannot be stored; it is tried again", "command", c.id, "err", err)
		if !bus.Sleep(w.server.base, backoffAfter(w.spec().Retry, attempt), time.Now().Add(24*time.Hour)) {
			c.message.Leave() // it comes again
			return ""
		}
	}
}

// bury puts a command into the dead letters, and stores that it has failed. Like
// finish it does not give up: the handler must not run again because a letter
// cannot be stored.
func (c *commandMessage) bury(attempts int, reason *Error) {
	w, m := c.worker, c.message
	letter := &deadLetter{
		method: w.method.spec.Method, id: c.id, subject: m.Subject, sequence: m.Sequence, stored: m.Time,
		reason: reason.Error(), attempts: attempts, header: m.Header, data: m.Data,
	}
	var stored uint64
	for attempt := 1; ; attempt++ {
		if attempt == 2 {
			w.records.dead(w.server.base, m, c.try, reason.Error())
		}
		var err *Error
		if stored, err = w.dead.add(w.server.base, letter); err == nil {
			w.logger().Error("aegis: a command went to the dead letters", "command", c.id, "attempts", attempts, "reason", original(reason))
			break
		}
		if err.Code() == CodePermissionDenied || err.Code() == CodeFailedPrecondition { // what does not go away by itself
			w.logger().Error("aegis: a command has failed, and the dead letters cannot take it; its request is lost",
				"command", c.id, "attempts", attempts, "reason", original(reason), "err", err)
			break
		}
		w.logger().Error("aegis: a command belongs to the dead letters, which do not take it; it is tried again",
			"command", c.id, "err", err, "reason", original(reason))
		if !bus.Sleep(w.server.base, backoffAfter(w.spec().Retry, attempt), time.Now().Add(24*time.Hour)) {
			m.Leave() // it comes again
			return
		}
	}
	if state := c.finish(outcomeOf(wire.StateFailed, reason, attempts)); state != "" && state != wire.StateFailed && stored != 0 {
		w.logger().Info("aegis: a command that failed here has ended otherwise elsewhere; it is no dead letter", "command", c.id, "state", state)
		w.dead.remove(w.server.base, stored)
	}
}

// follow works the commands of a single active method while this server leads.
func (w *commandWorker) follow(ctx context.Context) {
	for change := range w.server.WatchLeading(ctx) {
		if change.Term.Service != w.service.spec.Name || change.Term.Group != w.method.method.Group {
			continue
		}
		w.leave()
		if change.Leading {
			w.lead(change.Term)
		}
	}
}

func (w *commandWorker) lead(info Term) {
	l := w.server.leadership(w.service, info.Group)
	t := l.current.Load()
	if t == nil || t.info.Token != info.Token {
		return // it is over already
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if err := w.pull(wire.LevelNormal, t); err != nil {
		w.logger().Error("aegis: the leader cannot work commands", "err", err)
		return
	}
	w.levels[0].puller.SetWindow(2) // one under way, and one that NATS knows where to send
}

// leave takes no more commands in the name of a term.
func (w *commandWorker) leave() {
	w.mu.Lock()
	left := w.levels
	w.levels = nil
	w.old = append(w.old, left...)
	w.mu.Unlock()
	for _, l := range left {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
		l.puller.Stop(ctx)
		cancel()
		w.causes.works(w.consumerName(l.name)) // its troubles are those of others now
	}
	w.mu.Lock()
	var empty []*level
	w.old = slices.DeleteFunc(w.old, func(l *level) bool {
		if l.puller.Held() == 0 {
			empty = append(empty, l)
			return true
		}
		return false
	})
	w.mu.Unlock()
	for _, l := range empty {
		l.puller.Close()
	}
}

func (w *commandWorker) stop(ctx context.Context) {
	w.mu.Lock()
	w.stopped = true
	all := slices.Concat(w.levels, w.old)
	w.mu.Unlock()
	pullers := make([]*pull.Puller, 0, len(all))
	for _, l := range all {
		pullers = append(pullers, l.puller)
	}
	stopPulling(ctx, pullers)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range all {
		for _, m := range l.waiting {
			w.records.giveBackTaken(m, 0) // what has not begun goes to others
		}
		l.waiting = nil
	}
}

// wait returns when nothing runs; nothing new begins by then but what waits.
func (w *commandWorker) wait() { w.flight.Wait() }

func (w *commandWorker) end() {
	if w.halt != nil {
		w.halt()
		w.leads.Wait()
	}
	w.records.end() // what the server's patience was too short for is still given back
	w.mu.Lock()
	all := slices.Concat(w.levels, w.old)
	w.mu.Unlock()
	for _, l := range all {
		l.puller.Close()
	}
}

func (w *commandWorker) running(names map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy > 0 {
		names[w.method.spec.name()] += w.busy
	}
	if storing := int(w.flying.Load()) - w.busy; storing > 0 {
		names["the storing of results of "+w.method.spec.name()] += storing
	}
}

func (w *commandWorker) led() bool { return w.turn != nil }
