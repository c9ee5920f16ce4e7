package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/commandwork"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// checkCommandOptions refuses the options of commands for a service without commands, where
// they would do nothing.
func checkCommandOptions(service *service) error {
	desc := service.desc
	if desc.CommandStorage != nil {
		return nil
	}
	if service.storage != (Storage{}) {
		return invalidOption("WithStorage: %s has no command; the storage of events is an option of publishers and subscribers", desc.Name)
	}
	return nil
}

// commandWork returns the workloads of a server that work the commands of a service.
func commandWork(s *Server, service *service) []workload {
	var loads []workload
	var cancels *commandwork.Cancels
	turns := make(map[string]*sync.Mutex) // by group: a leader works the commands of its group one after the other
	for _, m := range service.methods {
		if m.method.Command == nil || !m.served {
			continue
		}
		if cancels == nil {
			results := s.conn.commandResults(service.desc, &service.storage, func(string) {})
			cancels = commandwork.NewCancels(results, errCanceledCommand)
			loads = append(loads, commandCancels{cancels})
		}
		var turn *sync.Mutex
		if group := m.method.Group; group != "" {
			if turns[group] == nil {
				turns[group] = &sync.Mutex{}
			}
			turn = turns[group]
		}
		loads = append(loads, newCommandWorker(s, service, m, cancels, turn))
	}
	return loads
}

// commandCancels is the workload that hears of the cancels of a service's commands. The
// workers of the service need it, so each of them starts it as well: start works once.
type commandCancels struct{ *commandwork.Cancels }

func (c commandCancels) start(ctx context.Context) error { return c.Start(ctx) }
func (c commandCancels) stop(context.Context)            {}
func (c commandCancels) wait()                           {}
func (c commandCancels) end()                            { c.Stop() }
func (c commandCancels) running(map[string]int)          {}
func (c commandCancels) led() bool                       { return false }

// commandWorker is the workload that works the commands of one method: it runs the
// handlers for commandwork.Worker, and says what their errors mean.
type commandWorker struct {
	server   *Server
	method   *serverMethod
	commands *commandwork.Worker

	halt    context.CancelFunc // ends follow
	follows sync.WaitGroup     // follow, and the stop of a method that turned out to be lacking
}

// newCommandWorker makes the worker of a method. turn is nil unless the method is single
// active.
func newCommandWorker(s *Server, service *service, m *serverMethod, cancels *commandwork.Cancels, turn *sync.Mutex) *commandWorker {
	w := &commandWorker{server: s, method: m}
	logger := func() *slog.Logger { return s.logger.With("command_method", m.name) }
	conn, storage, warn := s.conn, &service.storage, warnOnce(logger)
	dead, trouble := s.deadLetters(service.desc.Name, storage, service.desc.CommandStorage, storage.policy(warn), logger)
	most := service.commandsAtOnce
	if turn != nil {
		most = 1
	}
	w.commands = commandwork.New(commandwork.Options{
		Method: m.method.Name, FullName: m.name, Spec: m.method.Command, Most: most, Turn: turn,
		Queue: &stores.Stream{
			Stores: conn.stores, Want: conn.layout().Commands(service.desc, storage.settings()), Policy: storage.policy(warn),
		},
		Results: conn.commandResults(service.desc, storage, warn), Cancels: cancels,
		Dead: dead, Letters: work.NewLetterStream(dead, trouble, false),
		Causes: parts.NewCauses(s.parts.New("the commands of "+m.name, logger)),
		Alone:  s.alone, Handle: w.handle, Expired: s.expired.Load, Logger: logger,
	})
	return w
}

func (w *commandWorker) start(ctx context.Context) error {
	service := w.method.service.desc.Name
	w.server.hearing.Add(w.server.conn.subjects.Told(service, "*.*", wire.ResultStop), "the cancels of the commands of "+service, nil)
	if err := w.commands.Start(ctx, w.server.base); err != nil {
		return err
	}
	if w.led() {
		life, halt := context.WithCancel(context.Background())
		w.halt = halt
		w.follows.Go(func() { w.follow(life) })
	}
	return nil
}

func (w *commandWorker) stop(ctx context.Context) { w.commands.Stop(ctx) }
func (w *commandWorker) wait()                    { w.commands.Wait() }
func (w *commandWorker) led() bool                { return w.method.method.Group != "" }

func (w *commandWorker) end() {
	if w.halt != nil {
		w.halt()
	}
	w.follows.Wait() // so that nothing is pulled any more when the pullers end
	w.commands.Close()
}

func (w *commandWorker) running(names map[string]int) {
	handlers, storing := w.commands.Running()
	if handlers > 0 {
		names[w.method.name] += handlers
	}
	if storing > 0 {
		names["the storing of results of "+w.method.name] += storing
	}
}

// withdraw takes no more commands of a method that the implementation lacks.
func (w *commandWorker) withdraw() {
	if !w.server.withdraw(w.method) {
		return
	}
	w.follows.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
		defer cancel()
		w.commands.Stop(ctx)
	})
}

// commandLeader is a term of this server, in the name of which it works commands.
type commandLeader struct {
	term  *term
	clock election.Clock
}

// Base returns the context that ends with the term.
func (l *commandLeader) Base() context.Context { return l.term.Base }

// MayBegin reports whether a handler may begin: the lease is looked at as late as can be.
func (l *commandLeader) MayBegin() bool {
	return l.term.MayReply(l.clock) && l.term.Lease.MayAct(l.clock.Now())
}

// MayEnd reports whether the term is not over, so that what a handler has done counts.
func (l *commandLeader) MayEnd() bool { return l.term.MayReply(l.clock) }

// follow works the commands of a single active method while this server leads.
func (w *commandWorker) follow(ctx context.Context) {
	service := w.method.service
	for change := range w.server.WatchLeading(ctx) {
		if change.Term.Service != service.desc.Name || change.Term.Group != w.method.method.Group {
			continue
		}
		w.commands.Leave()
		if change.Leading {
			w.lead(change.Term)
		}
	}
}

// lead begins to take commands in a term, unless that is over already.
func (w *commandWorker) lead(info Term) {
	t := w.server.leadership(w.method.service, info.Group).Current()
	if t == nil || t.Token != info.Token {
		return
	}
	if err := w.commands.Lead(&commandLeader{t, w.server.clock}); err != nil {
		w.server.logger.Error("aegis: the leader cannot work commands", "command_method", w.method.name, "err", err)
	}
}

// errCanceledCommand is why the context of a handler ends whose command is canceled.
var errCanceledCommand = outward(commandstore.Canceled)

// handle runs the handler of a command and ends the command.
func (w *commandWorker) handle(d *commandwork.Delivery) {
	m := w.method
	req := m.request()
	if unreadable := readMessage(d.Message(), req); unreadable != nil {
		m.stats.refused(time.Now(), unreadable)
		w.bury(d, unreadable)
		return
	}
	if leader, ok := d.Leader().(*commandLeader); ok {
		leader.term.Enter() // before the lease is looked at for the last time
		defer leader.term.Leave(nil)
	}
	if !d.Begin() {
		return
	}
	inner, cancel := context.WithCancelCause(d.Base())
	defer cancel(nil)
	ctx := w.context(inner, d)
	ctx.job.report = d.Clock(cancel).Report
	var res proto.Message
	began := time.Now()
	m.stats.begin()
	w.server.guarded(m.name, func(err error) {
		d.Ended()
		m.stats.done(began, errorOrNil(err))
		if d.Counts() {
			w.ended(d, ctx, res, err)
		}
	}, func() (err error) {
		res, err = m.handle(ctx, req)
		if err == nil && !m.response(res) {
			err = Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", m.name, res)
		}
		return err
	})
}

// context returns the context of a handler, but for the clock of its job.
func (w *commandWorker) context(inner context.Context, d *commandwork.Delivery) *commandContext {
	header := d.Message().Header
	ctx := &commandContext{
		Context: inner,
		call: Call{
			method: w.method.public, instance: w.server.cfg.instance, attempt: d.Number(),
			incoming: func() Header { return commandMetadata(header) },
		},
		job: Job{ID: d.ID(), Attempt: d.Number()},
	}
	if leader, ok := d.Leader().(*commandLeader); ok {
		ctx.call.term = Term(leader.term.Info)
	}
	return ctx
}

// ended decides what becomes of a command whose handler has returned.
func (w *commandWorker) ended(d *commandwork.Delivery, ctx *commandContext, res proto.Message, err error) {
	cause := context.Cause(ctx.Context)
	if timeout, ok := errors.AsType[*commandwork.TimeoutError](cause); ok && err != nil {
		err = fmt.Errorf("%w: %w", timeout, err)
	}
	switch {
	case err == nil:
		w.succeed(d, res, ctx.call.response)
	case w.method.lacks(err):
		w.withdraw()
		d.GiveBack() // to an instance that has the method
	case errors.Is(cause, errCanceledCommand):
		d.Finish(commandstore.Failure(wire.StateCanceled, commandstore.Canceled, d.Number(), d.JSON()))
	case w.server.expired.Load():
		d.GiveBack() // the end of the grace period ended the handler; another worker may have the time
	case IsPermanent(err), d.Last():
		w.bury(d, handlerError(ofHandler(err))) // another attempt may have run
	default:
		d.Fail(original(err))
	}
}

// succeed ends a command with a response, if that can be stored. The response is JSON if
// the command was: whoever sent it reads JSON, and typed handles read either.
func (w *commandWorker) succeed(d *commandwork.Delivery, res proto.Message, metadata Header) {
	json := d.JSON()
	payload, err := body.Append(nil, res, json)
	if err != nil {
		w.bury(d, Errorf(CodeInternal, "the result cannot be marshalled: %w", err))
		return
	}
	var header nats.Header
	if len(metadata) > 0 || json {
		header = make(nats.Header, len(metadata)+1)
		if err := metadata.encodeTo(header); err != nil {
			w.bury(d, Errorf(CodeInternal, "result %s", err.Message()))
			return
		}
	}
	if json {
		header[wire.HeaderContentType] = []string{wire.ContentTypeJSON}
	}
	if most := w.server.conn.nc.MaxPayload(); int64(len(payload)) > most {
		w.bury(d, tooLarge("the result", len(payload), most, bus.SendLess))
		return
	}
	d.Finish(commandstore.Success(payload, header, d.Number()))
}

// bury ends a command with an error that no further attempt would help against.
func (w *commandWorker) bury(d *commandwork.Delivery, err *Error) {
	d.Bury(d.Attempts(), err.inward(), original(err))
}
