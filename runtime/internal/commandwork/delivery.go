package commandwork

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// Delivery is one command in the hands of a worker. It belongs to one goroutine. Exactly
// one of Finish, Bury, Fail and GiveBack ends it, unless Begin or Counts has given the
// command back.
type Delivery struct {
	worker  *Worker
	turn    *work.Turn
	id      string
	send    string // the command's wire.HeaderSend
	leader  Leader // nil unless a leader works the commands of the method
	job     work.Job
	attempt *Attempt // while the handler runs
}

// ID returns the id of the command.
func (d *Delivery) ID() string { return d.id }

// Message returns the command itself.
func (d *Delivery) Message() *nats.Msg { return d.job.Msg }

// JSON reports whether the command is JSON, and so its outcome is to be.
func (d *Delivery) JSON() bool { return wire.WantsJSON(d.job.Header) }

// Number returns the number of the attempt, from 1 on.
func (d *Delivery) Number() int { return d.job.Try.Number() }

// Attempts returns how many attempts count, with this one.
func (d *Delivery) Attempts() int { return d.job.Attempts() }

// Last reports whether the command may have no attempt after this one.
func (d *Delivery) Last() bool { return d.job.Try.Last() }

// Leader returns the leader that works the command; nil if the method needs none.
func (d *Delivery) Leader() Leader { return d.leader }

// Base returns the context from which that of the handler derives.
func (d *Delivery) Base() context.Context {
	if d.leader != nil {
		return d.leader.Base()
	}
	return d.worker.work.Base
}

// mayBegin reports whether a handler may begin now, as far as a leader is concerned.
func (d *Delivery) mayBegin() bool { return d.leader == nil || d.leader.MayBegin() }

// decide ends a command that may have no attempt, and has the handler run of any other.
// It looks for an outcome last, when the leader's lease and the attempts are known: each
// look may take long, and another worker may have the command as well.
func (d *Delivery) decide() {
	w := d.worker
	ended, why := d.hasEnded()
	if why != nil {
		w.work.Logger().Warn("aegis: it cannot be seen whether a command has a result; it is looked at again", "command", d.id, "err", why.Text())
		w.work.Later(d.job.Message)
		return
	}
	_, canceled := w.cancels.Of(d.id, d.send)
	switch {
	case ended:
		_ = d.job.Ack() // if it is lost it has still ended
	case canceled:
		d.Finish(commandstore.Failure(wire.StateCanceled, commandstore.Canceled, 0, d.JSON()))
	case d.job.Try.Exhausted():
		lost := status.New(status.Aborted, d.job.Exhausted("the worker of the last attempt was lost").Error())
		d.Bury(d.job.Try.Counted(), lost, lost.Text())
	case d.job.Try.Number() == 1 && d.expired(time.Now()):
		d.Finish(commandstore.Failure(wire.StateExpired, expiredUnbegun, 0, d.JSON()))
	default:
		w.handle(d)
	}
}

// expiredUnbegun is why a command has no response that no worker has begun in time.
var expiredUnbegun = status.Refusal(status.DeadlineExceeded, wire.ReasonExpired, "the command expired before a worker began it")

// expired reports whether the command is not worth beginning any more.
func (d *Delivery) expired(now time.Time) bool {
	at := d.job.Header.Get(wire.HeaderExpires)
	if at == "" {
		return false
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	return err == nil && now.UnixMilli() >= ms
}

// hasEnded looks for an outcome where there may be one: of a worker that was lost before
// it could acknowledge, or of an earlier command with the same key.
func (d *Delivery) hasEnded() (bool, *status.Status) {
	if d.job.Delivered() == 1 && d.id[:2] != wire.KeyOwner+"." {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(d.worker.work.Base, stores.DefaultTimeout)
	defer cancel()
	results := d.worker.endings.results
	msg, why := results.Outcome(ctx, d.id)
	if msg == nil || why != nil {
		return false, why
	}
	results.TellOutcome(d.id, msg.Header, msg.Data) // should the worker that was lost not have done so
	return true, nil
}

// Begin waits until the handler may begin, and stores that it does where that has to be
// known. If it returns false, the command was given back. Else Clock and Ended follow.
func (d *Delivery) Begin() bool { return d.job.Begin(d.Base(), d.mayBegin) }

// Clock starts the attempt's clock. cancel ends the handler's context: when the attempt
// takes too long, and when the command is canceled.
func (d *Delivery) Clock(cancel context.CancelCauseFunc) *Attempt {
	w := d.worker
	d.attempt = BeginAttempt(AttemptOptions{
		Results: w.endings.results, ResultTTL: w.endings.resultTTL, ID: d.id, Send: d.send, Number: d.Number(),
		Timeout: w.timeout, Cancel: cancel, Logger: w.work.Logger,
	})
	w.cancels.Begin(d.id, d.send, cancel)
	return d.attempt
}

// Ended says that the handler has returned, also by a panic.
func (d *Delivery) Ended() {
	d.job.Ended()
	d.attempt.End()
	d.worker.cancels.End(d.id)
}

// Counts reports whether the outcome of a handler that has returned counts. It does not
// where another leader works the command again, or has done so; the command is given
// back then. Where nobody leads, the next handler may begin from now on: storing the
// outcome takes time, and no handler.
func (d *Delivery) Counts() bool {
	if d.leader == nil {
		d.turn.Free()
		return true
	}
	if d.leader.MayEnd() {
		return true
	}
	d.worker.work.Logger().Warn("aegis: the leadership was lost while a command was worked", "command", d.id)
	d.job.GiveBack()
	return false
}

// Finish stores how the command has ended, and acknowledges it.
func (d *Delivery) Finish(o *commandstore.Outcome) { d.worker.endings.finish(d, o) }

// Bury puts the command into the dead letters after so many attempts, and stores that it
// has failed. cause is what the log says of why.
func (d *Delivery) Bury(attempts int, why *status.Status, cause any) {
	d.worker.endings.bury(d, attempts, why, cause)
}

// GiveBack gives the command to another worker; the attempt costs it none.
func (d *Delivery) GiveBack() { d.job.GiveBack() }

// Fail records that the attempt has failed, and has the command delivered again after a
// pause. cause is for the log.
func (d *Delivery) Fail(cause error) { d.job.Fail(cause) }
