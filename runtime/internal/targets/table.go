// Package targets is what the clients of a connection know of the instances that their
// calls can be sent to, and how one of them is picked for a call.
package targets

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/registry"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// faultInterval is the least time between two log lines about strategies that panic,
// which they may do with every call.
const faultInterval = 10 * time.Second

// Options are those of New.
type Options struct {
	// Context ends with the connection.
	Context   context.Context //nolint:containedctx // the connection's life
	Bus       *bus.Bus
	Directory *directory.Directory
	Subjects  wire.Subjects
	Zone      string // of this process, "" if unknown
	// Start runs a goroutine of the connection, and reports whether that is still open.
	Start  func(func()) bool
	Logger *slog.Logger
}

func (o *Options) closed() bool { return o.Context.Err() != nil || o.Bus.NATS.IsClosed() }

// Tables has the tables of a connection, by service. It is safe for concurrent use.
type Tables struct {
	o Options

	mu        sync.Mutex // guards byService
	byService map[string]*Table
}

// New makes the tables of a connection. A service is watched from the first call of Of
// for it, until the connection is closed.
func New(o Options) *Tables { return &Tables{o: o, byService: make(map[string]*Table)} }

// Of returns the table of a service.
func (t *Tables) Of(service string) (*Table, *status.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byService[service]; s != nil {
		return s, nil
	}
	s := newTable(&t.o, service)
	view, err := t.o.Directory.Follow(service, s)
	switch {
	case err == nil:
	case t.o.closed() || errors.Is(err, nats.ErrConnectionClosed):
		return nil, bus.Closed()
	default:
		return nil, status.Newf(status.Unavailable, "nothing was sent to %s: %w", service, err)
	}
	s.view = view
	t.byService[service] = s
	return s, nil
}

// Table has the instances of one service, for all clients of a connection. It is safe
// for concurrent use.
type Table struct {
	o       *Options
	service string
	set     *selection.Set
	view    *directory.View // feeds the set
	ready   atomic.Bool     // the view was seen to be ready
	faulted atomic.Int64    // when a strategy's panic was logged last, as UnixNano

	targets map[string]*target // by instance; guarded by the view's lock

	mu      sync.Mutex // guards methods
	methods map[string]*Method
}

// target is one process of an instance. It is the tag of that instance in the set.
type target struct {
	unhealthy bool        // guarded by the view's lock
	gone      atomic.Bool // the instance has left, or is not heard any more
	// subjects are where its methods are called, by Method.index; nil for those that
	// were not called yet.
	subjects atomic.Pointer[[]*string]
}

func newTable(o *Options, service string) *Table {
	t := &Table{o: o, service: service, targets: make(map[string]*target), methods: make(map[string]*Method)}
	t.set = selection.NewSet(selection.Config{Fault: t.logFault})
	return t
}

// Await waits until the instances are known. A patient caller waits until its deadline,
// others give up when the directory does.
func (t *Table) Await(ctx context.Context, deadline time.Time, patient bool) *status.Status {
	if t.ready.Load() {
		return nil
	}
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := t.view.Await(limited)
	for patient && limited.Err() == nil && errors.Is(err, directory.ErrNotReady) && !errors.Is(err, directory.ErrPermission) {
		err = t.view.Await(limited)
	}
	switch {
	case err == nil:
		t.ready.Store(true)
		return nil
	case t.o.closed() || errors.Is(err, nats.ErrConnectionClosed):
		return bus.Closed()
	case errors.Is(ctx.Err(), context.Canceled):
		return status.Of(ctx.Err())
	case limited.Err() != nil:
		return status.Newf(status.DeadlineExceeded, "nothing was sent to %s: %w", t.service, err)
	case errors.Is(err, directory.ErrPermission):
		return status.Newf(status.PermissionDenied, "nothing was sent to %s: %w", t.service, err)
	}
	return status.Newf(status.Unavailable, "nothing was sent to %s: %w", t.service, err)
}

// Changed takes a change of the view, whose lock is held. It makes a Table a
// [directory.Follower].
func (t *Table) Changed(c registry.Change) {
	r := c.Record
	switch c.Kind {
	case registry.Joined:
		t.targets[r.Instance] = &target{}
		t.put(r)
	case registry.StateChanged, registry.ConditionChanged, registry.Leads, registry.StoppedLeading:
		t.put(r)
	case registry.Left, registry.Expired:
		t.set.Remove(r.Instance)
		if to := t.targets[r.Instance]; to != nil {
			to.gone.Store(true)
		}
		delete(t.targets, r.Instance)
		t.failCalls(r.Instance)
	}
}

func (t *Table) put(r *registry.Record) {
	to := t.targets[r.Instance]
	if to == nil {
		return // the instance has not joined
	}
	to.unhealthy = r.Unhealthy
	t.set.Put(selection.Info{
		ID: r.Instance, Process: r.Process, State: selectionState(r.State), Methods: r.Methods,
		Version: r.Version, Zone: r.Zone, Build: r.Build, Labels: r.Labels, Reserved: r.Reserved, Leads: groups(r.Leads),
		Unhealthy: to.unhealthy, Tag: to,
	})
}

// groups returns the names of the groups that an instance leads.
func groups(leads []registry.Lead) []string {
	var names []string
	for _, l := range leads {
		names = append(names, l.Group)
	}
	return names
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

// Heard takes a heartbeat of the view, whose lock is held. A heartbeat may be late, so
// its record is left aside: Changed is told what is new in that.
func (t *Table) Heard(b *registry.Beat) {
	to := t.targets[b.Record.Instance]
	if to == nil {
		return
	}
	t.set.Beat(b.Record.Instance, selection.Beat{
		Process: b.Record.Process, Unhealthy: to.unhealthy,
		Load: selection.Load{InFlight: b.Load.InFlight, Latency: b.Load.Latency, Capacity: b.Load.Capacity},
	})
}

// Candidates returns the instances that can be picked now.
func (t *Table) Candidates() []*selection.Instance { return t.set.Candidates() }

// logFault logs that a strategy has panicked.
func (t *Table) logFault(f selection.Fault) {
	now := time.Now().UnixNano()
	last := t.faulted.Load()
	if now-last < int64(faultInterval) || !t.faulted.CompareAndSwap(last, now) {
		return
	}
	t.o.Logger.Error("aegis: a strategy panicked", "service", t.service, "err", f.Err, "stack", string(f.Stack))
}
