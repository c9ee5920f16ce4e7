// Package work is the machine of messages that are pulled from a consumer of JetStream:
// which deliveries count as attempts, who may begin, and what becomes of a message when
// its handler has ended. Durable events and commands are its two users.
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
	// Noun is what a message is, as the log says it: "an event".
	Noun    string
	Records *Records
	Alone   *Alone // of the server
	// Backoff is the pause after so many failed attempts.
	Backoff func(failed int) time.Duration
	// BackPause is how long a message waits that is given back before its handler began.
	BackPause time.Duration
	Logger    func() *slog.Logger
	// Attr names a message in the log.
	Attr func(*pull.Message) slog.Attr
	// Base is what the worker's own requests derive from; it ends with the patience of
	// the server. It is set before the first message comes.
	Base context.Context //nolint:containedctx // the life of the server's handlers
}

// Job is one message in the hands of a worker. Exactly one of Done, Fail, GiveBack and
// the methods of its message ends it.
type Job struct {
	*pull.Message

	Try attempts.Try

	worker *Worker
	pass   Pass // while the handler runs
}

// Look finds out how many attempts a message has had. If it returns false, that cannot
// be seen, and the message comes again.
func (w *Worker) Look(m *pull.Message) (Job, bool) {
	try, why := w.Records.Look(w.Base, m)
	if why != nil {
		w.Logger().Warn("aegis: it cannot be seen how many attempts "+w.Noun+" has had; it is looked at again", w.Attr(m), "err", why.Text())
		w.Later(m)
		return Job{}, false
	}
	return Job{Message: m, Try: try, worker: w}, true
}

// Later has a message delivered again after the pause of one failed attempt, which this
// was not.
func (w *Worker) Later(m *pull.Message) {
	_ = m.Nak(w.Backoff(1)) // else it comes when its time is over
}

// Begin waits until the handler may begin, and stores that it does where that has
// to be known. May is asked as late as can be; nil is yes. If Begin returns false, the
// message was given back; else Ended follows. When base ends, Begin does not wait longer.
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

// Ended says that the handler has returned, however.
func (j *Job) Ended() { j.worker.Alone.End(j.pass) }

// Attempts is how many count, with the one that has ended.
func (j *Job) Attempts() int { return j.Try.Counted() + 1 }

// Done acknowledges the message, and takes away what is recorded of it. If the
// acknowledgement is lost, the message comes again.
func (j *Job) Done() {
	_ = j.Ack()
	if j.Delivered() > 1 || j.worker.Records.Most == 1 {
		j.worker.Records.Forget(j.Message)
	}
}

// GiveBack gives the message to another worker, so that the attempt that was begun
// costs it none.
func (j *Job) GiveBack() { j.giveBack(true, 0) }

func (j *Job) giveBack(began bool, pause time.Duration) {
	j.worker.Records.GiveBack(j.worker.Base, j.Message, j.Try, began, pause)
}

// Fail records that the attempt has failed, and has the message delivered again after a
// pause. Err is for the log.
func (j *Job) Fail(err error) {
	w := j.worker
	pause := w.Backoff(j.Attempts())
	w.Logger().Warn("aegis: the handler of "+w.Noun+" failed", w.Attr(j.Message), "attempt", j.Try.Number(), "again_in", pause, "err", err)
	w.Records.Failed(w.Base, j.Message, j.Try)
	_ = j.Nak(pause) // else it comes when its time is over
}

// Dead records that the message is to have no further attempt, should the dead letters
// not take it before this worker is lost.
func (j *Job) Dead(reason string) { j.worker.Records.Dead(j.worker.Base, j.Message, j.Try, reason) }

// Exhausted is why a message that may have no further attempt has none: what was stored
// of it, or else that its worker was lost.
func (j *Job) Exhausted(lost string) error {
	if reason := j.Try.Reason(); reason != "" {
		return errors.New(reason)
	}
	return errors.New(lost)
}
