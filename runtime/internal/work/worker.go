// Package work works the messages of durable events and of commands, its two users. A
// worker decides which deliveries of a message count as attempts, when a handler may begin,
// and what becomes of the message when the handler has ended (worker.go, records.go,
// alone.go). Lanes and levels run the handlers; partitions take the messages of an event.
// A message that no handler could handle becomes a dead letter: deadletter.go writes it,
// burial.go keeps trying, and deadletter_back.go puts it back. Core events, which are not
// stored, come by core.go.
package work

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/attempts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// Worker works the messages of one event or one command. It is safe for concurrent use.
type Worker struct {
	// Noun says in the log what a message is: "an event".
	Noun    string
	Records *Records
	Alone   *Alone // of the server
	// Backoff returns the pause after a number of failed attempts.
	Backoff func(failed int) time.Duration
	// BackPause is how long a message waits for its next delivery if it is given back
	// before its handler began.
	BackPause time.Duration
	Logger    func() *slog.Logger
	// Attr names a message in the log.
	Attr func(*pull.Message) slog.Attr
	// Base is the context of the worker's own requests. It ends with the patience of the
	// server. It is set before the first message comes.
	Base context.Context //nolint:containedctx // the life of the server's handlers
}

// Job is one message in the hands of a worker. One of Done, Fail, GiveBack and the methods
// of the message ends it.
type Job struct {
	*pull.Message

	Try attempts.Try

	worker *Worker
	pass   Pass // while the handler runs
}

// Look finds out how many attempts a message has had. If that cannot be found out, it
// returns false, and the message comes again.
func (w *Worker) Look(m *pull.Message) (Job, bool) {
	try, why := w.Records.Look(w.Base, m)
	if why != nil {
		w.Logger().LogAttrs(w.Base, slog.LevelWarn, "aegis: it cannot be seen how many attempts "+w.Noun+" has had; it is looked at again",
			w.Attr(m), slog.String("err", why.Text()))
		w.Later(m)
		return Job{}, false
	}
	return Job{Message: m, Try: try, worker: w}, true
}

// Later has a message delivered again after the pause of one failed attempt, without
// counting an attempt.
func (w *Worker) Later(m *pull.Message) {
	_ = m.Nak(w.Backoff(1)) // if this is lost, the message comes when its ack wait is over
}

// Begin waits until the handler may begin, and stores that it begins where that has to be
// known. May is asked as late as possible; nil is yes. If Begin returns false, the message
// was given back; else Ended follows. When base ends, Begin does not wait any longer.
func (j *Job) Begin(base context.Context, may func() bool) bool {
	w := j.worker
	var ok bool
	if j.pass, ok = w.Alone.Begin(base, j.Try.Suspect()); !ok {
		j.giveBack(false, w.BackPause)
		return false
	}
	switch {
	case may != nil && !may():
		w.Alone.End(j.pass)
		j.giveBack(false, w.BackPause)
		return false
	case !w.Records.Note(base, j.Message, j.Try):
		w.Alone.End(j.pass)
		j.giveBack(false, w.Backoff(1))
		return false
	}
	return true
}

// Ended says that the handler has returned, with or without an error.
func (j *Job) Ended() { j.worker.Alone.End(j.pass) }

// Attempts returns how many attempts count, with the one that has just ended.
func (j *Job) Attempts() int { return j.Try.Counted() + 1 }

// Done acknowledges the message, and removes its record. If the acknowledgement is lost,
// the message comes again.
func (j *Job) Done() {
	_ = j.Ack()
	if j.Delivered() > 1 || j.worker.Records.Most == 1 {
		j.worker.Records.Forget(j.Message)
	}
}

// GiveBack gives the message to another worker. The attempt that has begun does not
// count.
func (j *Job) GiveBack() { j.giveBack(true, 0) }

func (j *Job) giveBack(began bool, pause time.Duration) {
	j.worker.Records.GiveBack(j.worker.Base, j.Message, j.Try, began, pause)
}

// Fail records that the attempt has failed, and has the message delivered again after a
// pause. The log has err.
func (j *Job) Fail(err error) {
	w := j.worker
	pause := w.Backoff(j.Attempts())
	w.Logger().LogAttrs(w.Base, slog.LevelWarn, "aegis: the handler of "+w.Noun+" failed",
		w.Attr(j.Message), slog.Int("attempt", j.Try.Number()), slog.Duration("again_in", pause), slog.Any("err", err))
	w.Records.Failed(w.Base, j.Message, j.Try)
	_ = j.Nak(pause) // if this is lost, the message comes when its ack wait is over
}

// Dead records that the message gets no further attempt, in case this worker is lost
// before the dead letters take the message.
func (j *Job) Dead(reason string) { j.worker.Records.Dead(j.worker.Base, j.Message, j.Try, reason) }

// Exhausted returns the reason of a message that gets no further attempt: the reason that
// was stored, or else that its worker was lost.
func (j *Job) Exhausted(lost string) error {
	if reason := j.Try.Reason(); reason != "" {
		return errors.New(reason)
	}
	return errors.New(lost)
}
