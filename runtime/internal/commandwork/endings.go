package commandwork

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// endings stores how the commands of one method have ended. It does not give up before
// the server does: a handler that has run must not run again because NATS is away.
type endings struct {
	results   *commandstore.Results
	resultTTL string // how long an outcome is kept
	cancels   *Cancels
	dead      *work.DeadLetters
	causes    *parts.Causes // has one of these while outcomes, or dead letters, are not taken
	method    string        // its bare name
	retry     spec.Retry
	logger    func() *slog.Logger
	base      context.Context //nolint:containedctx // the life of the server's handlers
}

// store stores the outcome of a command, and returns the state in which the command has
// ended: another worker may have stored another outcome before. It returns "" if the
// server has given up.
func (e *endings) store(d *Delivery, o *commandstore.Outcome) (state string) {
	for attempt := 1; ; attempt++ {
		state, why := e.results.PutOutcome(e.base, d.id, d.send, e.resultTTL, o, time.Now().Add(work.AddTimeout))
		e.tell(storing, why)
		if why == nil {
			return state
		}
		if why.Reason == wire.ReasonTooLarge || why.Code == status.InvalidArgument { // the payload together with its headers
			o = commandstore.Failure(wire.StateFailed, why, d.job.Try.Number(), d.JSON())
			continue
		}
		e.logger().Error("aegis: the result of a command cannot be stored; it is tried again", "command", d.id, "err", why.Text())
		if !e.pause(attempt) {
			return ""
		}
	}
}

// The causes why the commands of a method cannot be ended.
const (
	storing = "results"
	burying = "dead letters"
)

// tell has the part of the server fail while outcomes or dead letters are not taken: the
// handlers have run, and no further commands can be worked before long.
func (e *endings) tell(cause string, why *status.Status) {
	switch {
	case why == nil && e.causes.Failed(cause):
		e.causes.Works(cause)
	case why != nil && why.Reason != wire.ReasonTooLarge && why.Code != status.InvalidArgument: // these are a command's own
		e.causes.Fails(cause, fmt.Errorf("the %s are not taken: %s", cause, why.Text()))
	}
}

// pause waits before another attempt, and returns false if the server has given up.
func (e *endings) pause(attempt int) bool {
	return bus.Wait(e.base, work.Backoff(e.retry, attempt))
}

// finish stores the outcome of a command, acknowledges the command and takes its cancel
// back. It returns the state in which the command has ended; "" if the server has given
// up.
func (e *endings) finish(d *Delivery, o *commandstore.Outcome) (state string) {
	if state = e.store(d, o); state == "" {
		d.job.Leave() // it comes again
		return ""
	}
	d.job.Done() // if that is lost, the outcome tells the next worker
	if sequence, ok := e.cancels.Of(d.id, d.send); ok {
		e.results.TakeBackCancel(e.base, d.id, sequence)
	}
	return state
}

// bury puts a command into the dead letters, and stores that the command has failed.
// cause is the failure as the log shows it.
func (e *endings) bury(d *Delivery, attempts int, why *status.Status, cause any) {
	letter := &work.Letter{
		Method: e.method, ID: d.id, Subject: d.job.Subject, Sequence: d.job.Sequence, Stored: d.job.Time,
		Reason: why.Text(), Attempts: attempts, Header: d.job.Header, Data: d.job.Data,
	}
	sequence, ok := e.add(d, letter, cause)
	if !ok {
		d.job.Leave() // it comes again
		return
	}
	state := e.finish(d, commandstore.Failure(wire.StateFailed, why, attempts, d.JSON()))
	if state != "" && state != wire.StateFailed && sequence != 0 {
		e.logger().Info("aegis: a command that failed here has ended otherwise elsewhere; it is no dead letter", "command", d.id, "state", state)
		e.dead.Remove(e.base, sequence)
	}
}

// add stores a dead letter, and returns its sequence, which is 0 where the dead letters
// can never take it. It returns false if the server has given up.
func (e *endings) add(d *Delivery, letter *work.Letter, cause any) (sequence uint64, ok bool) {
	for attempt := 1; ; attempt++ {
		if attempt == 2 {
			d.job.Dead(letter.Reason)
		}
		sequence, why := e.dead.Add(e.base, letter)
		if why == nil {
			e.tell(burying, nil)
			e.logger().Error("aegis: a command went to the dead letters", "command", d.id, "attempts", letter.Attempts, "reason", cause)
			return sequence, true
		}
		if why.Code == status.PermissionDenied || why.Code == status.FailedPrecondition { // what does not go away by itself
			e.logger().Error("aegis: a command has failed, and the dead letters cannot take it; its request is lost",
				"command", d.id, "attempts", letter.Attempts, "reason", cause, "err", why.Text())
			return 0, true
		}
		e.tell(burying, why)
		e.logger().Error("aegis: a command belongs to the dead letters, which do not take it; it is tried again",
			"command", d.id, "err", why.Text(), "reason", cause)
		if !e.pause(attempt) {
			return 0, false
		}
	}
}
