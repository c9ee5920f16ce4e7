package aegis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/registry"
	"github.com/aegisrpc/aegis/runtime/selection"
)

const (
	// settleTime bounds the wait for replies that have arrived and are not
	// delivered yet.
	settleTime = time.Second
	// faultInterval is the least time between log lines about strategies that
	// panic, which they may do with every call.
	faultInterval = 10 * time.Second
)

// selectors are those of a connection, by service.
type selectors struct {
	mu        sync.Mutex
	byService map[string]*selector
}

// selector knows the instances of one service, for all clients of a connection.
// It begins with the first call that needs it, and ends with the connection.
type selector struct {
	conn    *Conn
	service string
	set     *selection.Set
	view    *directory.View // feeds the set
	ready   atomic.Bool     // the view was seen to be
	faulted atomic.Int64    // when a strategy's panic was logged, as UnixNano

	targets map[string]*target // by instance; guarded by the view's lock

	mu      sync.Mutex
	methods map[string]*methodSelector
}

// target is one process of an instance, as the tag of that instance in the set.
type target struct {
	unhealthy bool // guarded by the view's lock
	gone      atomic.Bool
	subjects  atomic.Pointer[[]*string] // by methodSelector.index, nil where not needed yet
}

// methodSelector is what the calls of one method share.
type methodSelector struct {
	*selector
	method  string
	index   int
	pickers [strategyKinds]atomic.Pointer[selection.Picker]
}

// selector returns that of a service, and begins it if need be.
func (c *Conn) selector(service string) (*selector, *Error) {
	c.selectors.mu.Lock()
	defer c.selectors.mu.Unlock()
	if s := c.selectors.byService[service]; s != nil {
		return s, nil
	}
	s := &selector{conn: c, service: service, targets: make(map[string]*target), methods: make(map[string]*methodSelector)}
	s.set = selection.NewSet(selection.Config{Fault: s.fault})
	view, err := c.directory.Follow(service, s)
	switch {
	case err == nil:
	case c.closed() || errors.Is(err, nats.ErrConnectionClosed):
		return nil, connClosed()
	default:
		return nil, Errorf(CodeUnavailable, "nothing was sent to %s: %w", service, err)
	}
	s.view = view
	c.void.Use(wire.KindInstance)
	if c.selectors.byService == nil {
		c.selectors.byService = make(map[string]*selector)
	}
	c.selectors.byService[service] = s
	return s, nil
}

func (s *selector) forMethod(name string) *methodSelector {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.methods[name]
	if m == nil {
		m = &methodSelector{selector: s, method: name, index: len(s.methods)}
		s.methods[name] = m
	}
	return m
}

// await waits until the instances are known; a patient caller to its deadline.
func (s *selector) await(ctx context.Context, deadline time.Time, patient bool) *Error {
	if s.ready.Load() {
		return nil
	}
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := s.view.Await(limited)
	for patient && limited.Err() == nil && errors.Is(err, directory.ErrNotReady) && !errors.Is(err, directory.ErrPermission) {
		err = s.view.Await(limited)
	}
	switch {
	case err == nil:
		s.ready.Store(true)
		return nil
	case s.conn.closed() || errors.Is(err, nats.ErrConnectionClosed):
		return connClosed()
	case errors.Is(ctx.Err(), context.Canceled):
		return asError(ctx.Err())
	case limited.Err() != nil:
		return Errorf(CodeDeadlineExceeded, "nothing was sent to %s: %w", s.service, err)
	case errors.Is(err, directory.ErrPermission):
		return Errorf(CodePermissionDenied, "nothing was sent to %s: %w", s.service, err)
	}
	return Errorf(CodeUnavailable, "nothing was sent to %s: %w", s.service, err)
}

// Changed takes a change of the view. It makes a selector its follower.
func (s *selector) Changed(c registry.Change) {
	r := c.Record
	switch c.Kind {
	case registry.Joined:
		s.targets[r.Instance] = &target{}
		s.put(r)
	case registry.StateChanged, registry.ConditionChanged:
		s.put(r)
	case registry.Left, registry.Expired:
		s.set.Remove(r.Instance)
		if t := s.targets[r.Instance]; t != nil {
			t.gone.Store(true)
		}
		delete(s.targets, r.Instance)
		s.lost(r.Instance)
	default: // who leads does not matter here
	}
}

func (s *selector) put(r *registry.Record) {
	t := s.targets[r.Instance]
	if t == nil {
		return // it has not joined
	}
	t.unhealthy = r.Unhealthy
	s.set.Put(selection.Info{
		ID: r.Instance, Process: r.Process, State: selectionState(r.State), Methods: r.Methods,
		Unhealthy: t.unhealthy, Tag: t,
	})
}

func selectionState(s registry.State) selection.State {
	switch s {
	case registry.Starting:
		return selection.StateStarting
	case registry.Running:
		return selection.StateRunning
	default:
		return selection.StateStopping
	}
}

// Heard takes a heartbeat of the view. What it changes in the record, which may be
// late, Changed has told.
func (s *selector) Heard(b *registry.Beat) {
	t := s.targets[b.Record.Instance]
	if t == nil {
		return
	}
	s.set.Beat(b.Record.Instance, selection.Beat{
		Process: b.Record.Process, Unhealthy: t.unhealthy,
		Load: selection.Load{InFlight: b.Load.InFlight, Latency: b.Load.Latency, Capacity: b.Load.Capacity},
	})
}

// lost ends the calls to an instance that was found to be gone. If it has
// stopped in good order, its last replies are at NATS, but another goroutine
// delivers them, and may be late; a call that was sent after it had left has got
// "no responders" there.
func (s *selector) lost(instance string) {
	prefix := s.conn.subjects.Instance(instance, s.service, "")
	calls := s.conn.bus.Waiting(func(target string) bool {
		method, ok := strings.CutPrefix(target, prefix)
		return ok && !strings.Contains(method, ".")
	})
	if len(calls) == 0 {
		return
	}
	err := refusal(CodeUnavailable, ReasonInstanceLost,
		"the instance %s of %s was found to be gone before it replied; whether the handler ran is unknown", instance, s.service)
	s.conn.start(func() {
		s.conn.settle()
		for _, call := range calls {
			call.Fail(&err.st)
		}
	})
}

// settle returns when the replies are delivered that NATS has by now, among them
// that nobody listens to what was just sent.
func (c *Conn) settle() {
	// In an outage there is nothing to wait for.
	_ = c.nc.FlushTimeout(settleTime)
	delivered := make(chan struct{})
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	if c.nc.Barrier(func() { close(delivered) }) != nil {
		return // the connection is closed
	}
	select {
	case <-delivered:
	case <-timer.C: // a callback of somebody's subscription takes long
	case <-c.ctx.Done():
	}
}

// fault logs a strategy's panic.
func (s *selector) fault(f selection.Fault) {
	now := time.Now().UnixNano()
	last := s.faulted.Load()
	if now-last < int64(faultInterval) || !s.faulted.CompareAndSwap(last, now) {
		return
	}
	s.conn.logger.Error("aegis: a strategy panicked", "service", s.service, "err", f.Err, "stack", string(f.Stack))
}

func (m *methodSelector) picker(s strategy) *selection.Picker {
	if s.own != nil {
		return s.own.picker(m)
	}
	slot := &m.pickers[s.kind]
	if p := slot.Load(); p != nil {
		return p
	}
	slot.CompareAndSwap(nil, m.set.MethodPicker(m.method, s.kind.builtin()))
	return slot.Load()
}

// subject is where the method is called at an instance. It is made once, as
// calls are many.
func (m *methodSelector) subject(instance string, t *target) *string {
	list := t.subjects.Load()
	if list != nil && m.index < len(*list) && (*list)[m.index] != nil {
		return (*list)[m.index]
	}
	subject := m.conn.subjects.Instance(instance, m.service, m.method)
	more := make([]*string, m.index+1)
	if list != nil {
		more = make([]*string, max(m.index+1, len(*list)))
		copy(more, *list)
	}
	more[m.index] = &subject
	t.subjects.CompareAndSwap(list, &more) // or another call makes it anew
	return &subject
}
