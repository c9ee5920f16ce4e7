package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// defaultCommandConcurrency is how many commands of one method an instance works
// on at once.
const defaultCommandConcurrency = 16

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
	var loads []workload
	var stops *commandStops
	for _, m := range service.methods {
		if m.method.Command == nil || !m.served {
			continue
		}
		if stops == nil {
			stops = &commandStops{server: s, service: service.spec.Name}
			loads = append(loads, stops)
		}
		loads = append(loads, newCommandWorker(s, service, m, stops))
	}
	// Those of one group are worked one after the other.
	turns := make(map[string]*sync.Mutex)
	for _, w := range loads {
		if w, ok := w.(*commandWorker); ok && w.method.method.Group != "" {
			if turns[w.method.method.Group] == nil {
				turns[w.method.method.Group] = &sync.Mutex{}
			}
			w.turn = turns[w.method.method.Group]
		}
	}
	return loads
}

// commandWorker works the commands of one method.
type commandWorker struct {
	server  *Server
	service *service
	method  *serverMethod
	stops   *commandStops
	queue   openStream
	results openStream
	work    work.Worker
	levels  work.Levels
	dead    *work.DeadLetters
	letters *work.LetterStream
	causes  *parts.Causes
	turn    *sync.Mutex // nil unless the method is single active
	// resultTTL is how long results are kept, as a header says it.
	resultTTL string

	halt  context.CancelFunc
	leads sync.WaitGroup // follows the leaderships
}

func newCommandWorker(s *Server, service *service, m *serverMethod, stops *commandStops) *commandWorker {
	w := &commandWorker{server: s, service: service, method: m, stops: stops, resultTTL: m.method.Command.ResultTTL.String()}
	conn, storage := s.conn, &service.storage
	policy := storage.policy(warnOnce(w.logger))
	w.queue = conn.openStream(conn.commandStream(service.spec, storage), policy)
	w.results = conn.openStream(conn.resultStream(service.spec, storage), policy)
	w.work = work.Worker{
		Noun: "a command", Alone: s.alone, Logger: w.logger, BackPause: leaderPause,
		Attr: func(msg *pull.Message) slog.Attr {
			id, _ := wire.ParseCommandID(msg.Subject, 0)
			return slog.String("command", id)
		},
		Backoff: func(failed int) time.Duration { return work.Backoff(w.spec().Retry, failed) },
		Records: work.NewRecords(work.RecordsConfig{
			Bus: conn.bus, Stores: conn.stores, Stream: &w.results.Stream, Subject: w.attemptsOf,
			Most: m.method.Command.Retry.MaxAttempts, TTL: max(m.method.Command.ResultTTL, work.AttemptsTTL), Logger: w.logger,
		}),
	}
	w.causes = parts.NewCauses(s.parts.New("the commands of "+m.name, w.logger))
	var trouble *parts.Part
	w.dead, trouble = s.deadLetters(service.spec.Name, storage, service.spec.CommandStorage, policy, w.logger)
	w.letters = work.NewLetterStream(w.dead, trouble, false)
	return w
}

func (w *commandWorker) spec() *spec.CommandSpec { return w.method.method.Command }

func (w *commandWorker) logger() *slog.Logger {
	return w.server.logger.With("command_method", w.method.name)
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
	w.work.Base = w.server.base
	w.levels.Most, w.levels.InOrder, w.levels.Run = w.most(), w.turn != nil, w.one
	levels := wire.Levels()
	if w.turn != nil {
		levels = []string{wire.LevelNormal}
	}
	for _, name := range levels {
		if _, err := w.open(ctx, name); err != nil {
			if work.Lasting(err) {
				return fmt.Errorf("aegis: work the commands of %s: %w", w.method.name, err)
			}
			w.causes.Fails(w.consumerName(name), err)
			break
		}
	}
	if err := w.letters.Start(ctx); err != nil {
		return fmt.Errorf("aegis: work the commands of %s: %w", w.method.name, err)
	}
	life, halt := context.WithCancel(context.Background())
	w.halt = halt
	w.leads.Go(func() { w.letters.Follow(life) })
	if w.turn != nil {
		w.leads.Go(func() { w.follow(life) })
		w.leads.Go(func() { w.seek(life) })
		return nil
	}
	w.leads.Go(func() { w.levels.Tend(life) })
	for _, name := range levels {
		if err := w.pull(name, nil); err != nil {
			return err
		}
	}
	return nil
}

// seek tries until a standby could work commands as well, if the start has found that
// it could not: it pulls none until it leads.
func (w *commandWorker) seek(life context.Context) {
	name := w.consumerName(wire.LevelNormal)
	for pause := work.FirstLook; w.causes.Failed(name); pause = min(2*pause, work.LastLook) {
		if !bus.Sleep(life, pause, time.Now().Add(time.Hour)) {
			return
		}
		if w.levels.Pulling() {
			continue // the puller says so
		}
		if _, err := w.open(life, wire.LevelNormal); err == nil {
			w.causes.Works(name)
		} else if life.Err() == nil {
			w.causes.Fails(name, err)
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
	w.letters.Beside(queue)
	name := w.consumerName(level)
	want := jetstream.ConsumerConfig{
		Name: name, Durable: name,
		Description:   "Aegis: " + w.method.name,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       w.spec().AckWait,
		MaxDeliver:    -1, // the runtime counts: what NATS gives up has no result
		MaxAckPending: work.MaxUnacknowledged,
		FilterSubject: w.server.conn.subjects.CommandsOf(w.service.spec.Name, w.method.spec.Method, level),
	}
	if w.turn != nil {
		want.MaxAckPending = 1 // in order, whoever believes to lead
	}
	c, err := js.Consumer(ctx, w.queue.Want.Name, want, w.queue.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	return work.Source(js, c), nil
}

// pull begins to take the commands of a level, in the name of a leader or of nobody.
func (w *commandWorker) pull(level string, t *term) error {
	conn := w.server.conn
	options := work.Pulling(conn.bus, conn.stores, w.causes, w.queue.Want.Name, w.consumerName(level), w.turn != nil)
	options.Open = func(ctx context.Context) (pull.Source, error) { return w.open(ctx, level) }
	if err := w.levels.Add(level, t, options); err != nil {
		return fmt.Errorf("aegis: work the commands of %s: %w", w.method.name, err)
	}
	return nil
}

// one works one command.
func (w *commandWorker) one(turn *work.Turn) {
	if w.server.expired.Load() {
		w.work.Records.GiveBackTaken(turn.Message, 0) // another worker has time for it
		return
	}
	if w.turn != nil {
		w.turn.Lock()
		defer w.turn.Unlock()
	}
	t, _ := turn.Owner.(*term)
	c := &commandMessage{worker: w, turn: turn, message: turn.Message, term: t}
	c.work()
}

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
		w.work.Records.GiveBackTaken(m, leaderPause) // to the leader
		return
	}
	// The result is looked for last: each look may take long, and another worker may
	// have the command as well.
	if c.job, ok = w.work.Look(m); !ok {
		return
	}
	switch ended, err := c.hasEnded(); {
	case err != nil:
		w.logger().Warn("aegis: it cannot be seen whether a command has a result; it is looked at again", "command", c.id, "err", err)
		w.work.Later(m)
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
	return c.term == nil || c.term.MayReply(w.server.clock) && c.term.Lease.MayAct(w.server.clock.Now())
}

// commandMessage is one command in a worker's hands.
type commandMessage struct {
	worker  *commandWorker
	turn    *work.Turn
	message *pull.Message
	id      string
	send    string // which of the commands with its id it is
	term    *term  // nil unless the method is single active
	job     work.Job
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
		c.bury(c.job.Attempts(), unreadable)
		return
	}
	if !c.begin() {
		return
	}
	number := c.job.Try.Number()
	base := w.server.base
	if c.term != nil {
		base = c.term.Base
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
		ctx.call.term = Term(c.term.Info)
	}
	r.begin()
	w.stops.begun(c.id, c.send, cancel)
	var res proto.Message
	began := time.Now()
	w.method.stats.begin()
	w.server.guarded(w.method.name, func(err error) {
		c.job.Ended()
		r.end()
		w.stops.ended(c.id)
		w.method.stats.done(began, errorOrNil(err))
		c.ended(ctx, res, err)
	}, func() (err error) {
		res, err = w.method.handle(ctx, req)
		if err == nil && !w.method.response(res) {
			err = Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", w.method.name, res)
		}
		return err
	})
}

// ended decides what becomes of a command whose handler has returned.
func (c *commandMessage) ended(ctx *commandContext, res proto.Message, err error) {
	w := c.worker
	if c.term == nil {
		c.turn.Free() // storing the result takes time, and no handler
	}
	if c.term != nil && !c.term.MayReply(w.server.clock) {
		// Another one leads now and works the command again, or has done so.
		w.logger().Warn("aegis: the leadership was lost while a command was worked", "command", c.id)
		c.job.GiveBack()
		return
	}
	cause := context.Cause(ctx.Context)
	if timeout, ok := errors.AsType[*attemptTimeoutError](cause); ok && err != nil {
		err = fmt.Errorf("%w: %w", timeout, err)
	}
	switch {
	case err == nil:
		c.succeed(ctx, res)
	case w.method.lacks(err):
		w.withdraw()
		c.job.GiveBack() // to an instance that has the method
	case errors.Is(cause, errCanceledCommand):
		c.finish(outcomeOf(wire.StateCanceled, errCanceledCommand, c.job.Try.Number()))
	case w.server.expired.Load():
		c.job.GiveBack() // the server's patience ended it; another worker may do better
	case IsPermanent(err), c.job.Try.Last():
		c.bury(c.job.Attempts(), handlerError(err))
	default:
		c.job.Fail(original(err))
	}
}

func (c *commandMessage) succeed(ctx *commandContext, res proto.Message) {
	o, failure := succeeded(res, ctx.call.response, c.job.Try.Number())
	if failure == nil {
		if most := c.worker.server.conn.nc.MaxPayload(); int64(len(o.payload)) > most {
			failure = tooLarge("the result", len(o.payload), most, bus.SendLess)
		}
	}
	if failure != nil {
		c.bury(c.job.Attempts(), failure)
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
	c.job.Done() // if that is lost, the result tells the next worker
	if stop, ok := c.worker.stops.of(c.id, c.send); ok {
		c.worker.results.forgetStop(c.worker.server.base, c.worker.service.spec.Name, c.id, stop.sequence)
	}
	return state
}

func (c *commandMessage) storeOutcome(o *commandOutcome) (state string) {
	w := c.worker
	for attempt := 1; ; attempt++ {
		o.of(c.send, w.resultTTL)
		state, err := o.store(w.server.base, &w.results, w.service.spec.Name, c.id, time.Now().Add(work.AddTimeout))
		if err == nil {
			return state
		}
		if err.Reason() == ReasonTooLarge || err.Code() == CodeInvalidArgument { // its headers, besides
			o = outcomeOf(wire.StateFailed, err, c.job.Try.Number())
			continue
		}
		w.logger().Error("aegis: the result of a command cannot be stored; it is tried again", "command", c.id, "err", err)
		if !bus.Sleep(w.server.base, work.Backoff(w.spec().Retry, attempt), time.Now().Add(24*time.Hour)) {
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
	letter := &work.Letter{
		Method: w.method.spec.Method, ID: c.id, Subject: m.Subject, Sequence: m.Sequence, Stored: m.Time,
		Reason: reason.Error(), Attempts: attempts, Header: m.Header, Data: m.Data,
	}
	var stored uint64
	for attempt := 1; ; attempt++ {
		if attempt == 2 {
			c.job.Dead(letter.Reason)
		}
		var why *status.Status
		if stored, why = w.dead.Add(w.server.base, letter); why == nil {
			w.logger().Error("aegis: a command went to the dead letters", "command", c.id, "attempts", attempts, "reason", original(reason))
			break
		}
		if why.Code == status.PermissionDenied || why.Code == status.FailedPrecondition { // what does not go away by itself
			w.logger().Error("aegis: a command has failed, and the dead letters cannot take it; its request is lost",
				"command", c.id, "attempts", attempts, "reason", original(reason), "err", why.Text())
			break
		}
		w.logger().Error("aegis: a command belongs to the dead letters, which do not take it; it is tried again",
			"command", c.id, "err", why.Text(), "reason", original(reason))
		if !bus.Sleep(w.server.base, work.Backoff(w.spec().Retry, attempt), time.Now().Add(24*time.Hour)) {
			m.Leave() // it comes again
			return
		}
	}
	if state := c.finish(outcomeOf(wire.StateFailed, reason, attempts)); state != "" && state != wire.StateFailed && stored != 0 {
		w.logger().Info("aegis: a command that failed here has ended otherwise elsewhere; it is no dead letter", "command", c.id, "state", state)
		w.dead.Remove(w.server.base, stored)
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
	t := l.Current()
	if t == nil || t.Token != info.Token {
		return // it is over already
	}
	if err := w.pull(wire.LevelNormal, t); err != nil {
		w.logger().Error("aegis: the leader cannot work commands", "err", err)
	}
}

// leave takes no more commands in the name of a term.
func (w *commandWorker) leave() {
	for _, level := range w.levels.Leave(releaseTime) {
		w.causes.Works(w.consumerName(level)) // its troubles are those of others now
	}
}

func (w *commandWorker) stop(ctx context.Context) {
	w.levels.Stop(ctx, func(m *pull.Message) { w.work.Records.GiveBackTaken(m, 0) }) // others begin it
}

// wait returns when nothing runs; nothing new begins by then but what waits.
func (w *commandWorker) wait() { w.levels.Wait() }

func (w *commandWorker) end() {
	if w.halt != nil {
		w.halt()
		w.leads.Wait()
	}
	w.work.Records.End() // what the server's patience was too short for is still given back
	w.levels.Close()
}

func (w *commandWorker) running(names map[string]int) {
	handlers, storing := w.levels.Running()
	if handlers > 0 {
		names[w.method.name] += handlers
	}
	if storing > 0 {
		names["the storing of results of "+w.method.name] += storing
	}
}

func (w *commandWorker) led() bool { return w.turn != nil }
