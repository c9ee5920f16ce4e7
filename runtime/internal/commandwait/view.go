package commandwait

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// State is where a command is in its life.
type State int

// The states, in order.
const (
	Unknown State = iota // there is no such command, or its outcome is kept no longer
	Scheduled
	Queued
	Running
	Succeeded
	Failed
	Canceled
	Expired
)

var stateNames = [...]string{
	Unknown: "UNKNOWN", Scheduled: "SCHEDULED", Queued: "QUEUED", Running: "RUNNING",
	Succeeded: wire.StateSucceeded, Failed: wire.StateFailed, Canceled: wire.StateCanceled, Expired: wire.StateExpired,
}

// String returns the state's name in capitals. The last four are those that
// wire.HeaderState has.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return stateNames[Unknown]
	}
	return stateNames[s]
}

// Ended reports whether a command stays in this state.
func (s State) Ended() bool { return s >= Succeeded }

// View is what is stored of a command at one moment.
type View struct {
	State     State
	Attempt   int       // the last one that is known of, 0 for none
	Progress  *Progress // the last report, nil for none
	Canceling bool      // it was canceled, and has not ended
	Outcome   *nats.Msg // how it has ended; nil if it has not

	message *stores.Stored // the command itself; nil if it has ended, or there is none
}

// send returns the wire.HeaderSend of the command, which tells it from others with its
// id.
func (v *View) send() string { return v.message.Header.Get(wire.HeaderSend) }

// View reads what is stored of the command. A worker stores the outcome before it
// acknowledges the command, so that a command is always in one of the two streams.
func (c *Command) View(ctx context.Context) (*View, *status.Status) {
	v := &View{}
	if ended, why := c.viewOutcome(ctx, v); ended || why != nil {
		return v, why
	}
	r := c.listener.Results
	var why *status.Status
	v.message, why = r.Stores.Last(ctx, r.Queue, r.Subjects.CommandAnywhere(r.Service, c.method, c.id))
	switch {
	case why != nil:
		return nil, why
	case v.message == nil: // it may have ended between the two looks
		_, why = c.viewOutcome(ctx, v)
		return v, why
	case r.Subjects.IsCommandAt(v.message.Subject):
		v.State = Scheduled
	default:
		v.State = Queued
	}
	c.watch.expect(v.send())
	if why := c.viewProgress(ctx, v, v.send()); why != nil {
		return nil, why
	}
	cancel, why := c.stored(ctx, wire.ResultStop)
	if why != nil {
		return nil, why
	}
	v.Canceling = cancel != nil && string(cancel.Data) == v.send()
	return v, nil
}

// viewOutcome reports whether the command has ended, and completes the view then.
func (c *Command) viewOutcome(ctx context.Context, v *View) (bool, *status.Status) {
	outcome := c.watch.outcome()
	if outcome == nil {
		msg, why := c.stored(ctx, wire.ResultResult)
		if msg == nil || why != nil {
			return false, why
		}
		outcome = &msg.Msg
		c.watch.heard(outcome)
	}
	v.Outcome = outcome
	for state := Succeeded; state <= Expired; state++ {
		if state.String() == outcome.Header.Get(wire.HeaderState) {
			v.State = state
		}
	}
	if n, err := strconv.Atoi(outcome.Header.Get(wire.HeaderAttempt)); err == nil {
		v.Attempt = n
	}
	return true, c.viewProgress(ctx, v, outcome.Header.Get(wire.HeaderSend))
}

// viewProgress completes the view of the command with this wire.HeaderSend by its
// progress.
func (c *Command) viewProgress(ctx context.Context, v *View, send string) *status.Status {
	msg, why := c.stored(ctx, wire.ResultProgress)
	if msg == nil || why != nil {
		return why
	}
	p, ok := wire.ParseProgress(msg.Data)
	if !ok || p.Send != send {
		return nil // the progress is of an earlier command with the same key
	}
	c.watch.heard(&msg.Msg)
	if v.State == Queued {
		v.State, v.Attempt = Running, p.Attempt
	}
	if p.Percent != nil {
		v.Progress = &Progress{Percent: *p.Percent, Message: p.Message}
	}
	return nil
}

// NotFound returns the status of an operation on a command that is not there.
func (c *Command) NotFound() *status.Status {
	return status.Newf(status.NotFound, "there is no command %s of %s.%s, or its result is kept no longer", c.id, c.listener.Results.Service, c.method)
}
