// Package retry decides whether a client tries a call again that has failed, and after
// which pause. It sends nothing itself.
package retry

import (
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// openAttempts is the least number of attempts to open a stream: a server that refuses
// a stream has not run its handler.
const openAttempts = 3

// stalePause is as long as an instance that was paused takes to learn that the requests
// which arrive are new.
const stalePause = 3 * handling.TickInterval

// Route says to whom the requests of a call are sent.
type Route int

// The routes.
const (
	// ToQueueGroup lets NATS pick an instance.
	ToQueueGroup Route = iota
	// ToInstance is the way to the one instance that the caller has named.
	ToInstance
	// ToPicked is the way to an instance that a strategy has picked.
	ToPicked
	// ToLeader is the way to the leader of a group.
	ToLeader
)

// Attempt is an attempt of a call that has failed, with all that the decision depends
// on.
type Attempt struct {
	Method *spec.Method
	Route  Route
	// Most is how many attempts the caller allows; 0 for as many as the method's proto.
	Most         int
	WaitForReady bool
	// OpensStream says that the request opens a stream, so that its reply says no more
	// than whether a server has taken it.
	OpensStream bool
	Deadline    time.Time
	Budget      *Budget

	// Number is the number of the attempt, from 1 on.
	Number int
	// Fresh is the number of the first attempt since the client has heard of the
	// present leader, and LeaderKnown says whether it has heard of one.
	Fresh       int
	LeaderKnown bool
	// Untried says that there are instances to pick that the call was not sent to.
	Untried bool
}

// Decision says whether there is another attempt.
type Decision struct {
	Again bool
	// Pause is how long the client waits before it.
	Pause time.Duration
	// AskLeader says that the client has to ask who leads, as its knowledge has proved
	// wrong.
	AskLeader bool
}

// Failed decides about an attempt that failed with a status. There may be another one
// where no handler can have run, or where running it twice does no harm; the latter,
// and a request that an overloaded server has refused, only within the budget.
func (a *Attempt) Failed(why *status.Status) Decision {
	again := a.Number < a.most()
	switch {
	case !why.NotRun && !a.Method.Idempotent:
		return Decision{}
	case a.Route == ToLeader && (why.Reason == status.ReasonNoResponders || why.Reason == wire.ReasonNotActive):
		return Decision{Again: a.LeaderKnown, Pause: bus.Pause(a.Number - max(a.Fresh, 1) + 1), AskLeader: true}
	case why.Reason == status.ReasonConnectionLost && !why.FromServer:
		return Decision{Again: again, Pause: bus.Jitter(bus.FirstPause)} // the budget has paid for it
	case why.Reason == wire.ReasonLeadershipLost, why.Reason == status.ReasonInstanceLost && a.Route == ToPicked:
		return Decision{Again: again && a.withdraw(), Pause: bus.Jitter(bus.FirstPause)}
	case why.Reason == status.ReasonNoResponders && a.WaitForReady:
		// The last attempt comes shortly before the deadline, with time for a reply.
		left := time.Until(a.Deadline)
		return Decision{Again: left > 4*bus.FirstPause, Pause: min(bus.Pause(a.Number), left/2)}
	case why.Reason == status.ReasonNoResponders, why.Reason == wire.ReasonStopping,
		why.Reason == wire.ReasonNoMethod && a.Route == ToQueueGroup: // that instance has left the queue group
		return Decision{Again: again, Pause: bus.Pause(a.Number)}
	case why.Reason == wire.ReasonStale:
		return Decision{Again: again, Pause: a.stalePause()}
	case why.Reason == wire.ReasonOverloaded && a.Untried:
		return Decision{Again: again && a.withdraw()}
	case why.Reason == wire.ReasonOverloaded, why.FromServer && why.Code == status.Unavailable && a.Method.Idempotent:
		return Decision{Again: again && a.withdraw(), Pause: a.backoff()}
	default:
		return Decision{}
	}
}

// Repeatable reports whether there may be another attempt after this one although its handler may run.
func (a *Attempt) Repeatable() bool {
	return a.Method.Idempotent && !a.OpensStream && a.Number < a.most()
}

// most returns how many attempts there may be.
func (a *Attempt) most() int {
	switch {
	case a.Most > 0:
		return a.Most
	case a.OpensStream:
		return max(a.Method.Retry.MaxAttempts, openAttempts)
	default:
		return a.Method.Retry.MaxAttempts
	}
}

func (a *Attempt) withdraw() bool { return a.Budget.Withdraw(time.Now()) }

// stalePause returns the pause after an instance has taken a request for an old one,
// as it was paused: short at first, since another instance may take the request, and
// then as long as the instance needs.
func (a *Attempt) stalePause() time.Duration {
	if a.Number == 1 {
		return bus.Pause(1)
	}
	return bus.Jitter(stalePause)
}

// backoff returns a pause that doubles with each attempt, from the method's first to
// its longest.
func (a *Attempt) backoff() time.Duration {
	if a.OpensStream {
		return bus.Pause(a.Number)
	}
	r := a.Method.Retry
	pause := r.InitialBackoff
	for range a.Number - 1 {
		if pause *= 2; pause >= r.MaxBackoff {
			break
		}
	}
	return bus.Jitter(min(pause, r.MaxBackoff))
}
