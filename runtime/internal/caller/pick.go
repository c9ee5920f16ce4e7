package caller

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// strategy returns how a call whose options say s finds its instance.
func (m *Method) strategy(s targets.Strategy) targets.Strategy {
	switch {
	case s.Kind != targets.ByDefault:
	case m.key != nil:
		s.Kind = targets.ByKey
	case m.spec.PreferZone:
		s.Kind = targets.ByZone
	}
	if s.Kind == targets.ByDefault || s.Kind == targets.ByZone && m.client.o.Zone == "" {
		s.Kind = targets.ByQueueGroup
	}
	return s
}

// watchTargets returns the method's part of the table of instances. The first call of
// it has the connection watch the service.
func (m *Method) watchTargets() (*targets.Method, *status.Status) {
	if t := m.targets.Load(); t != nil {
		return t, nil
	}
	table, why := m.client.o.Targets.Of(m.client.o.Service.Name)
	if why != nil {
		return nil, why
	}
	m.client.o.Void.Use(wire.KindInstance)
	t := table.Method(m.spec.Name)
	m.targets.Store(t)
	return t, nil
}

// beginPick makes the attempts of a call go to instances that s picks.
func (c *Call) beginPick(s targets.Strategy, req proto.Message) *status.Status {
	method, why := c.watchTargets()
	if why != nil {
		return why
	}
	if why := method.Table().Await(c.ctx, c.Deadline, c.choice.WaitForReady); why != nil {
		return why
	}
	p, ok := c.slot.Kept.(*targets.Pick) // kept with the slot, so that it costs no allocation
	if !ok {
		p = new(targets.Pick)
		c.slot.Kept = p
	}
	key := c.choice.Key
	if key == "" && req != nil && s.TakesKey() {
		key = c.key.Of(req)
	}
	p.Begin(method, s, key)
	c.pick = p
	return nil
}

// tryPicked sends the request to the instances that are picked, one after the
// other, until one has taken it.
func (c *Call) tryPicked(res proto.Message) *status.Status {
	var last *status.Status
	for {
		instance, err := c.pick.Next(last == nil)
		switch {
		case err == nil:
		case last != nil:
			return last
		default:
			return c.pick.Nobody(err)
		}
		last = c.sendTo(instance, res)
		switch {
		case last == nil || !targets.Untaken(last):
			return last
		case c.ctx.Err() != nil:
			return status.Of(c.ctx.Err()).WithNotRun(true) // as no instance has taken it so far
		}
		c.waited = true // less time is left
		c.Figures.Retry()
	}
}

// sendTo sends the request to an instance that was picked.
func (c *Call) sendTo(instance *selection.Instance, res proto.Message) (why *status.Status) {
	begun := time.Now()
	defer func() { c.pick.Finish(instance, time.Since(begun), why) }()
	c.subject, c.gone = c.pick.Target(instance)
	return c.send(res)
}
