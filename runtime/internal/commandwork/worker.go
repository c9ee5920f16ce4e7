package commandwork

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// Worker works the commands of one method. It is safe for concurrent use.
type Worker struct {
	intake  intake
	endings endings
	work    work.Worker
	cancels *Cancels
	turn    *sync.Mutex // held while a leader's command is worked; nil where none leads
	expired func() bool
	handle  func(*Delivery)
	timeout time.Duration // of an attempt without a report

	halt       context.CancelFunc // ends what runs in the background
	background sync.WaitGroup
}

// Options are the options of New.
type Options struct {
	Method   string // its bare name
	FullName string // of the method
	Spec     *spec.CommandSpec
	// Most is how many handlers run at once.
	Most int
	// Turn is nil unless a leader works the commands, one after the other. Methods of one
	// group share it.
	Turn *sync.Mutex

	Queue   *stores.Stream
	Results *commandstore.Results
	Cancels *Cancels // of the service
	Dead    *work.DeadLetters
	Letters *work.LetterStream // keeps an eye on the stream of Dead
	Causes  *parts.Causes      // why no commands can be taken
	Alone   *work.Alone        // of the server

	// Handle runs the handler of a command that may have an attempt, and ends the command
	// by one of its methods.
	Handle func(*Delivery)
	// Expired reports whether the server gives no more time to handlers.
	Expired func() bool
	Logger  func() *slog.Logger
}

// Leader is a term in which this process leads. Commands that need a leader are worked in
// the name of one, one after the other.
type Leader interface {
	// Base is the context from which those of the handlers derive.
	Base() context.Context
	// MayBegin reports whether a handler may begin, and MayEnd whether what a handler has
	// done counts. Both wait while the leader is suspended, as the next leader would have
	// to wait as well.
	MayBegin() bool
	MayEnd() bool
}

// backPause is how long a command waits for the leader after an instance that does not
// lead any more has given it back.
const backPause = 100 * time.Millisecond

// New makes a worker. Start, Stop, Wait and Close follow.
func New(o Options) *Worker {
	ttl := o.Spec.ResultTTL
	w := &Worker{cancels: o.Cancels, turn: o.Turn, expired: o.Expired, handle: o.Handle, timeout: o.Spec.AttemptTimeout}
	w.intake = intake{
		method: o.Method, name: o.FullName, ackWait: o.Spec.AckWait, led: o.Turn != nil,
		queue: o.Queue, results: o.Results, letters: o.Letters, causes: o.Causes,
	}
	w.intake.levels.Most, w.intake.levels.InOrder, w.intake.levels.Run = o.Most, o.Turn != nil, w.one
	w.endings = endings{
		results: o.Results, resultTTL: ttl.String(), cancels: o.Cancels, dead: o.Dead, causes: o.Causes,
		method: o.Method, retry: o.Spec.Retry, logger: o.Logger,
	}
	w.work = work.Worker{
		Noun: "a command", Alone: o.Alone, Logger: o.Logger, BackPause: backPause,
		Attr:    func(m *pull.Message) slog.Attr { return slog.String("command", idOf(m)) },
		Backoff: func(failed int) time.Duration { return work.Backoff(o.Spec.Retry, failed) },
		Records: work.NewRecords(work.RecordsConfig{
			Bus: o.Results.Bus, Stores: o.Results.Stores, Stream: &o.Results.Stream,
			Subject: func(m *pull.Message) string {
				return o.Results.Subjects.Result(o.Results.Service, idOf(m), wire.ResultAttempts)
			},
			Most: o.Spec.Retry.MaxAttempts, TTL: max(ttl, work.AttemptsTTL), Logger: o.Logger,
		}),
	}
	return w
}

// idOf returns the id of a command.
func idOf(m *pull.Message) string {
	id, _ := wire.ParseCommandID(m.Subject, 0)
	return id
}

// Start begins to take commands, or, where a leader works them, begins to be ready for
// that. base is the life of the server's handlers. It returns an error only if it never
// can.
func (w *Worker) Start(ctx, base context.Context) error {
	if err := w.cancels.Start(ctx); err != nil { // before the first command comes
		return err
	}
	w.work.Base, w.endings.base = base, base //nolint:fatcontext // it is set once, and nested in nothing
	if err := w.intake.prepare(ctx); err != nil {
		return err
	}
	life, halt := context.WithCancel(context.Background())
	w.halt = halt
	w.background.Go(func() { w.intake.letters.Follow(life) })
	if w.turn != nil {
		w.background.Go(func() { w.intake.seek(life) })
		return nil
	}
	return w.intake.pullAll()
}

// Lead begins to take commands in the name of a leader.
func (w *Worker) Lead(leader Leader) error { return w.intake.pull(wire.LevelNormal, leader) }

// Leave takes no more commands in the name of the leader. Without one it does nothing.
func (w *Worker) Leave() { w.intake.leave() }

// Stop takes no more commands, and gives back those that have not begun: others begin
// them.
func (w *Worker) Stop(ctx context.Context) {
	w.intake.levels.Stop(ctx, func(m *pull.Message) { w.work.Records.GiveBackTaken(m, 0) })
}

// Wait returns when nothing runs; after Stop nothing new begins but what waits.
func (w *Worker) Wait() { w.intake.levels.Wait() }

// Close follows Wait, or the end of the server's patience.
func (w *Worker) Close() {
	if w.halt != nil {
		w.halt()
		w.background.Wait()
	}
	w.work.Records.End() // waits for commands that are being given back, for which the pullers are needed
	w.intake.levels.Close()
}

// Running returns how many handlers run, and how many outcomes of others are being
// stored.
func (w *Worker) Running() (handlers, storing int) { return w.intake.levels.Running() }

// one works one command from its delivery to its acknowledgement. A command that is not
// acknowledged comes again.
func (w *Worker) one(turn *work.Turn) {
	m := turn.Message
	if w.expired() {
		w.work.Records.GiveBackTaken(m, 0) // another worker has time for it
		return
	}
	if w.turn != nil {
		w.turn.Lock()
		defer w.turn.Unlock()
	}
	d := &Delivery{worker: w, turn: turn}
	d.leader, _ = turn.Owner.(Leader)
	var ok bool
	if d.id, ok = wire.ParseCommandID(m.Subject, 0); !ok {
		w.work.Logger().Error("aegis: a command without an id is dropped; only Aegis publishes to this subject", "subject", m.Subject)
		_ = m.Ack() // if it is lost it is dropped again
		return
	}
	d.send = m.Header.Get(wire.HeaderSend)
	if !d.mayBegin() {
		w.work.Records.GiveBackTaken(m, backPause) // to the leader
		return
	}
	if d.job, ok = w.work.Look(m); ok {
		d.decide()
	}
}
