package targets

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// Pick finds the instances that one call is sent to. A Pick is used for one call after
// the other, so that it costs no allocation. It is not safe for concurrent use.
type Pick struct {
	method *Method
	picker *selection.Picker
	call   selection.Call
	tried  selection.Tried
}

// Begin makes p that of another call.
func (p *Pick) Begin(method *Method, s Strategy, key string) {
	*p = Pick{method: method, picker: method.picker(s), call: selection.Call{Key: key, Tried: &p.tried}}
}

// Next picks an instance that the call was not sent to. If it was sent to all of them,
// and anew is true, it may go to all of them again.
func (p *Pick) Next(anew bool) (*selection.Instance, error) {
	instance, err := p.picker.Pick(p.call)
	if anew && errors.Is(err, selection.ErrAllTried) {
		p.tried.Reset()
		instance, err = p.picker.Pick(p.call)
	}
	return instance, err
}

// Target returns where the method is called at an instance that Next has returned, and
// a flag that is set when the instance is found to be gone.
func (p *Pick) Target(instance *selection.Instance) (subject *string, gone *atomic.Bool) {
	to := instance.Tag().(*target) //nolint:forcetypeassert // nothing else is put
	return p.method.subject(instance.ID(), to), &to.gone
}

// Finish says how the call to an instance that Next has returned has ended: with a
// status, or well.
func (p *Pick) Finish(instance *selection.Instance, latency time.Duration, why *status.Status) {
	if why != nil {
		p.tried.Add(instance)
	}
	p.picker.Finish(instance, selection.Outcome{Latency: latency, Failure: failure(why)})
}

// Untried reports whether there are instances that the call was not sent to.
func (p *Pick) Untried() bool { return p.tried.Len() < p.picker.Candidates() }

// Nobody returns the status of a call for which Next has returned an error.
func (p *Pick) Nobody(err error) *status.Status {
	t := p.method.table
	var why *status.Status
	switch {
	case errors.Is(err, selection.ErrNoInstance):
		why = status.Refusal(status.Unavailable, status.ReasonNoResponders,
			"no instance can take the call: of the %d known of %s, %s", t.set.Len(), t.service, p.picker.Shortage())
	case errors.Is(err, selection.ErrDeclined):
		why = status.Newf(status.Unavailable, "the strategy picked none of the %d instances of %s: %w", p.picker.Candidates(), t.service, err)
	default:
		why = status.Newf(status.Internal, "no instance of %s could be picked: %w", t.service, err)
	}
	return why.WithNotRun(true)
}

// Untaken reports whether no handler can have run for a call that has ended with a
// status, and another instance may take the call at once.
func Untaken(why *status.Status) bool {
	switch why.Reason {
	case wire.ReasonOverloaded, wire.ReasonRefused: // an overload spreads, and the next instance refuses as well
		return false
	default:
		return why.NotRun && (why.FromServer || why.Reason == status.ReasonNoResponders)
	}
}

// failure returns what the end of a call says about its instance.
func failure(why *status.Status) selection.Failure {
	switch {
	case why == nil:
		return selection.FailureNone
	case why.FromServer:
		return refusal(why.Reason)
	case why.Reason == status.ReasonNoResponders:
		return selection.FailureNoResponders
	case why.Reason == status.ReasonInstanceLost, errors.Is(why.Cause, context.DeadlineExceeded):
		return selection.FailureLost
	default: // the client itself has ended the call
		return selection.FailureCanceled
	}
}

func refusal(reason string) selection.Failure {
	switch reason {
	case wire.ReasonStopping:
		return selection.FailureStopping
	case wire.ReasonOverloaded, wire.ReasonStale:
		return selection.FailureOverloaded
	case wire.ReasonNoMethod: // it comes so quickly that it would attract calls
		return selection.FailureCanceled
	default:
		return selection.FailureNone
	}
}
