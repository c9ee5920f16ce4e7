package aegis

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/selection"
)

// pick is how one call finds an instance. It is kept with the call's slot, so
// that it costs no allocation.
type pick struct {
	from   *methodSelector
	picker *selection.Picker
	call   selection.Call
	tried  selection.Tried
}

// strategyOf returns how a call with these options finds its instance.
func (m *clientMethod) strategyOf(cfg *callConfig) strategy {
	switch {
	case cfg.strategy.kind != byDefault:
		return cfg.strategy
	case m.keyField != nil:
		return strategy{kind: byKey}
	default:
		return strategy{kind: byQueueGroup}
	}
}

// methodSelector returns the method's, and begins to watch the service if nobody
// has so far.
func (m *clientMethod) methodSelector() (*methodSelector, *Error) {
	if s := m.selector.Load(); s != nil {
		return s, nil
	}
	service, err := m.client.conn.selector(m.spec.Service)
	if err != nil {
		return nil, err
	}
	s := service.forMethod(m.spec.Method)
	m.selector.Store(s)
	return s, nil
}

// beginPick makes the attempts of a call go to instances that s picks.
func (a *attempt) beginPick(s strategy, req proto.Message) *Error {
	from, err := a.methodSelector()
	if err == nil {
		err = from.await(a.ctx, a.deadline, a.cfg.waitForReady)
	}
	if err != nil {
		return err
	}
	p, ok := a.slot.Kept.(*pick)
	if !ok {
		p = new(pick)
		a.slot.Kept = p
	}
	*p = pick{from: from, picker: from.picker(s), call: selection.Call{Key: a.cfg.key, Tried: &p.tried}}
	if p.call.Key == "" && req != nil && (s.kind == byKey || s.kind == byOwn) {
		p.call.Key = a.keyField.of(req)
	}
	a.pick = p
	return nil
}

// tryPicked sends the request to the instances that are picked, one after the
// other, until one has taken it.
func (a *attempt) tryPicked(res proto.Message) *Error {
	var last *Error
	for {
		instance, err := a.pick.next(last == nil)
		switch {
		case err == nil:
		case last != nil:
			return last
		default:
			return a.notPicked(err)
		}
		last = a.sendTo(instance, res)
		switch {
		case last == nil || !last.untaken():
			return last
		case a.ctx.Err() != nil:
			return asError(a.ctx.Err()).notRun(true) // as nobody has taken it so far
		}
		a.waited = true // less time is left
	}
}

// next picks an instance that this call was not sent to; anew is whether it may
// begin again if it was sent to all.
func (p *pick) next(anew bool) (*selection.Instance, error) {
	instance, err := p.picker.Pick(p.call)
	if anew && errors.Is(err, selection.ErrAllTried) {
		p.tried.Reset()
		instance, err = p.picker.Pick(p.call)
	}
	return instance, err
}

// untried reports whether there are instances that the call was not sent to.
func (p *pick) untried() bool { return p != nil && p.tried.Len() < len(p.from.set.Candidates()) }

// sendTo sends the request to an instance that was picked.
func (a *attempt) sendTo(instance *selection.Instance, res proto.Message) (err *Error) {
	p := a.pick
	begun := time.Now()
	defer func() {
		p.picker.Finish(instance, selection.Outcome{Latency: time.Since(begun), Failure: err.failure()})
	}()
	a.target = instance.Tag().(*target) //nolint:forcetypeassert // nothing else is put
	a.subject = p.from.subject(instance.ID(), a.target)
	if err = a.send(res); err != nil {
		p.tried.Add(instance)
	}
	return err
}

// notPicked says why there is no instance for a call.
func (a *attempt) notPicked(err error) *Error {
	s := a.pick.from
	switch {
	case errors.Is(err, selection.ErrNoInstance):
		return refusal(CodeUnavailable, ReasonNoResponders,
			"no instance can take the call: of the %d known of %s, none runs, is healthy, answers and has the method %s",
			s.set.Len(), s.service, s.method).notRun(true)
	case errors.Is(err, selection.ErrDeclined):
		return Errorf(CodeUnavailable, "the strategy picked none of the %d instances of %s: %w", len(s.set.Candidates()), s.service, err).notRun(true)
	default:
		return Errorf(CodeInternal, "no instance of %s could be picked: %w", s.service, err).notRun(true)
	}
}

// untaken reports whether no handler can have run, and another instance may take
// the call at once.
func (e *Error) untaken() bool {
	return e.st.NotRun && (e.st.FromServer || e.Reason() == ReasonNoResponders) && e.Reason() != ReasonOverloaded
}

// failure is what the end of a call says about its instance.
func (e *Error) failure() selection.Failure {
	switch {
	case e == nil:
		return selection.FailureNone
	case e.st.FromServer:
		return e.refusal()
	case e.Reason() == ReasonNoResponders:
		return selection.FailureNoResponders
	case e.Reason() == ReasonInstanceLost, errors.Is(e.st.Cause, context.DeadlineExceeded):
		return selection.FailureLost
	default: // the client's own doing
		return selection.FailureCanceled
	}
}

func (e *Error) refusal() selection.Failure {
	switch e.Reason() {
	case ReasonStopping:
		return selection.FailureStopping
	case ReasonOverloaded, ReasonStale:
		return selection.FailureOverloaded
	case ReasonNoMethod: // so quick that it would attract calls
		return selection.FailureCanceled
	default:
		return selection.FailureNone
	}
}
