package aegis

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
)

// Whether a call is tried again is decided by package retry; the loop over the attempts
// is attempt.run.

// pause decides about the attempt that failed with err: it returns how long to wait before
// the next one, and false if there is none.
func (a *attempt) pause(err *Error) (time.Duration, bool) {
	failed := retry.Attempt{
		Method: a.method, Route: a.route(), Most: a.cfg.maxAttempts, WaitForReady: a.cfg.waitForReady,
		OpensStream: a.opensStream(), Deadline: a.deadline, Budget: a.client.budget,
		Number: a.number, Fresh: a.fresh, LeaderKnown: a.term != 0, Untried: a.pick != nil && a.pick.Untried(),
	}
	d := failed.Failed(&err.st)
	if d.AskLeader {
		a.leader.Doubt()
	}
	return d.Pause, d.Again
}

// repeat says who pays for another attempt if the connection is lost before the reply comes, and is nil
// if there may be none.
func (a *attempt) repeat() *bus.Repeat {
	r := retry.Attempt{Method: a.method, Most: a.cfg.maxAttempts, Number: a.number}
	if a.stream != nil || !r.Repeatable() {
		return nil
	}
	return &a.client.repeat
}

// route says to whom the attempts of the call go.
func (a *attempt) route() retry.Route {
	switch {
	case a.cfg.instance != "":
		return retry.ToInstance
	case a.toLeader():
		return retry.ToLeader
	case a.pick != nil:
		return retry.ToPicked
	default:
		return retry.ToQueueGroup
	}
}

// opensStream reports whether the request opens a stream. A unary call that travels in
// parts does not count: its handler runs as that of any unary call.
func (a *attempt) opensStream() bool { return a.stream != nil && a.method.Streaming() }

// sleep pauses, and reports whether there is time left for another attempt. News of the
// leader end the pause.
func (a *attempt) sleep(d time.Duration) bool {
	defer a.figures.WaitSince(time.Now())
	if a.term != 0 {
		return a.leader.Sleep(a.ctx, a.news, d, a.deadline)
	}
	return bus.Sleep(a.ctx, d, a.deadline)
}
