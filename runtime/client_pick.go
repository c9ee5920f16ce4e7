package aegis

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// Calls that go to an instance which a strategy has picked. How that is done, and what
// is known of the instances, is in package targets.

type targetsKey struct{}

// targets returns the tables of instances that all clients of the connection share.
func (c *Conn) targets() *targets.Tables {
	return perConn(c, targetsKey{}, func() *targets.Tables {
		return targets.New(targets.Options{
			Context: c.ctx, Bus: c.bus, Directory: c.directory, Subjects: c.subjects, Zone: c.standing.origin.Zone, Start: c.start, Logger: c.logger,
		})
	})
}

// strategyOf returns how a call with these options finds its instance.
func (m *clientMethod) strategyOf(cfg *callConfig) targets.Strategy {
	s := cfg.strategy
	switch {
	case s.Kind != targets.ByDefault:
	case m.keyField != nil:
		s.Kind = targets.ByKey
	case m.method.PreferZone:
		s.Kind = targets.ByZone
	}
	if s.Kind == targets.ByDefault || s.Kind == targets.ByZone && m.client.conn.standing.origin.Zone == "" {
		s.Kind = targets.ByQueueGroup
	}
	return s
}

// watchTargets returns the method's part of the table of instances. The first call of
// it has the connection watch the service.
func (m *clientMethod) watchTargets() (*targets.Method, *Error) {
	if t := m.targets.Load(); t != nil {
		return t, nil
	}
	table, why := m.client.targets.Of(m.public.Service)
	if why != nil {
		return nil, outward(why)
	}
	m.client.conn.void.Use(wire.KindInstance)
	t := table.Method(m.public.Name)
	m.targets.Store(t)
	return t, nil
}

// beginPick makes the attempts of a call go to instances that s picks.
func (a *attempt) beginPick(s targets.Strategy, req proto.Message) *Error {
	method, err := a.watchTargets()
	if err != nil {
		return err
	}
	if why := method.Table().Await(a.ctx, a.deadline, a.cfg.waitForReady); why != nil {
		return outward(why)
	}
	p, ok := a.slot.Kept.(*targets.Pick) // kept with the slot, so that it costs no allocation
	if !ok {
		p = new(targets.Pick)
		a.slot.Kept = p
	}
	key := a.cfg.key
	if key == "" && req != nil && s.TakesKey() {
		key = a.keyField.Of(req)
	}
	p.Begin(method, s, key)
	a.pick = p
	return nil
}

// tryPicked sends the request to the instances that are picked, one after the
// other, until one has taken it.
func (a *attempt) tryPicked(res proto.Message) *Error {
	var last *Error
	for {
		instance, err := a.pick.Next(last == nil)
		switch {
		case err == nil:
		case last != nil:
			return last
		default:
			return outward(a.pick.Nobody(err))
		}
		last = a.sendTo(instance, res)
		switch {
		case last == nil || !targets.Untaken(&last.st):
			return last
		case a.ctx.Err() != nil:
			return asError(a.ctx.Err()).notRun(true) // as no instance has taken it so far
		}
		a.waited = true // less time is left
		a.figures.Retry()
	}
}

// sendTo sends the request to an instance that was picked.
func (a *attempt) sendTo(instance *selection.Instance, res proto.Message) (err *Error) {
	begun := time.Now()
	defer func() { a.pick.Finish(instance, time.Since(begun), err.inward()) }()
	a.subject, a.gone = a.pick.Target(instance)
	return a.send(res)
}
