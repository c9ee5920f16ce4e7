package aegis

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// openAttempts is how often the open of a stream is tried that nobody has taken.
const openAttempts = 3

// stalePause is as long as an instance that was paused takes to learn that what comes is
// new.
const stalePause = 3 * handling.TickInterval

// pause decides whether a call that failed with err may be tried again, and
// after how long. It may where no handler can have run, or where running it
// twice does no harm; the latter, and what was refused by an overloaded server,
// only within the client's budget.
func (a *attempt) pause(err *Error) (time.Duration, bool) {
	most := a.method.Retry.MaxAttempts
	if a.cfg.maxAttempts > 0 {
		most = a.cfg.maxAttempts
	}
	if a.opensStream() && a.cfg.maxAttempts == 0 { // a server that refuses a stream has not run its handler
		most = max(most, openAttempts)
	}
	again := a.number < most
	if !err.st.NotRun && !a.method.Idempotent {
		return 0, false
	}
	switch {
	case a.leader != nil && a.cfg.instance == "" && (err.Reason() == ReasonNoResponders || err.Reason() == ReasonNotActive):
		a.leader.Doubt()
		return bus.Pause(a.number - max(a.fresh, 1) + 1), a.term != 0
	case err.Reason() == ReasonLeadershipLost, err.Reason() == ReasonInstanceLost && a.pick != nil:
		return bus.Jitter(bus.FirstPause), again && a.client.budget.withdraw(time.Now())
	case err.Reason() == ReasonNoResponders && a.cfg.waitForReady:
		// The last try comes shortly before the deadline, with time for a reply.
		left := time.Until(a.deadline)
		return min(bus.Pause(a.number), left/2), left > 4*bus.FirstPause
	case err.Reason() == ReasonNoResponders:
		return bus.Pause(a.number), again
	case err.Reason() == ReasonNoMethod && a.pick == nil && a.cfg.instance == "" && a.leader == nil:
		return bus.Pause(a.number), again // that instance has left the queue group
	case err.Reason() == ReasonStopping:
		return bus.Pause(a.number), again
	case err.Reason() == ReasonStale:
		return stale(a.number), again
	case err.Reason() == ReasonOverloaded && a.pick.untried():
		return 0, again && a.client.budget.withdraw(time.Now())
	case err.Reason() == ReasonOverloaded,
		err.st.FromServer && err.Code() == CodeUnavailable && a.method.Idempotent:
		return a.backoff(), again && a.client.budget.withdraw(time.Now())
	default:
		return 0, false
	}
}

// opensStream tells streams from unary calls that travel in parts.
func (a *attempt) opensStream() bool { return a.stream != nil && a.method.Streaming() }

// stale is 10 ms, as another instance may take the call, and then the time in
// which one that was paused learns that what comes is new.
func stale(attempt int) time.Duration {
	if attempt == 1 {
		return bus.Pause(attempt)
	}
	return bus.Jitter(stalePause)
}

// backoff doubles from the method's first pause to its longest.
func (a *attempt) backoff() time.Duration {
	r := a.method.Retry
	pause := r.InitialBackoff
	if a.opensStream() {
		return bus.Pause(a.number)
	}
	for range a.number - 1 {
		if pause *= 2; pause >= r.MaxBackoff {
			break
		}
	}
	return bus.Jitter(min(pause, r.MaxBackoff))
}

// sleep pauses; false means that there is no time left for another try. A new
// leader ends the pause.
func (a *attempt) sleep(d time.Duration) bool {
	if a.term != 0 {
		return a.sleepUntilLed(d)
	}
	return bus.Sleep(a.ctx, d, a.deadline)
}

func (a *attempt) sleepUntilLed(d time.Duration) bool {
	until := time.Now().Add(d)
	if until.After(a.deadline) {
		until = a.deadline
	}
	if why := a.leader.Await(a.ctx, a.news, until); why != nil { // a leader may yet announce itself
		bus.Sleep(a.ctx, time.Until(until), a.deadline)
	}
	return a.ctx.Err() == nil && time.Now().Before(a.deadline)
}
