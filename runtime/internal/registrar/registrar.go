// Package registrar keeps an instance in the registry: a record per service in
// the KV bucket, and heartbeats.
package registrar

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/regstore"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// rewriteInterval is how often records are written that have not changed:
	// long before the bucket drops them.
	rewriteInterval = 30 * time.Second
	// operationTimeout bounds one operation of the bucket.
	operationTimeout = 2 * time.Second
	// The pauses between attempts while the bucket cannot be written.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// ErrNameTaken is what a process gets under whose name another one lives.
var ErrNameTaken = errors.New("the name of the instance is taken")

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	Link      *link.Link // of that connection
	JetStream *stores.Stores
	Namespace string
	Process   string // new at each start
	Instance  string
	Logger    *slog.Logger
	Heartbeat time.Duration
	Bucket    bucket.Settings
	// Metrics returns what a service's heartbeat carries beside the record, in
	// JSON; nil for nothing. It must not wait.
	Metrics func(service string) json.RawMessage
	// Load returns how busy the instance is with a service, for its heartbeat;
	// nil for nothing. It must not wait.
	Load func(service string) registry.Load
	// Taken is called, once, when another process has the name by now.
	Taken func(error)
	// Rewrite is for tests; 0 is 30 s.
	Rewrite time.Duration
}

// Registrar registers one instance of several services. Add them, then Claim,
// Start, and in the end Stop.
type Registrar struct {
	o        Options
	nc       *nats.Conn
	subjects wire.Subjects
	bucket   *regstore.Bucket
	started  time.Time
	regs     []*registration

	ctx    context.Context //nolint:containedctx // the registrar's life, from New to Stop
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	dirty  chan struct{} // told when a record is to be written
	taken  sync.Once

	mu       sync.Mutex // guards the records, degraded
	audible  bool       // heartbeats are sent
	stopped  bool
	degraded bool // the bucket cannot be used; it was logged
}

// Service is one service of the instance, as it is registered.
type Service struct {
	Name, Version string
	Methods       []string // in order; nil: not known
	Patterns      map[string]string
	// Subscriber: it only subscribes to events under this name, wire.SubscribersOf
	// a service. What is not allowed is then left out in silence.
	Subscriber bool
	// Shared: that another process has the name does no harm, and is no error.
	// The instance is not registered while the other one is.
	Shared bool
}

// registration is the instance's record of one service.
type registration struct {
	service    string
	key        string
	subject    string // of heartbeats
	subscriber bool
	shared     bool
	muted      bool // guarded by Registrar.mu: another process has the name
	denied     bool // guarded by Registrar.mu: this user may not register it

	record registry.Record // guarded by Registrar.mu

	// Of the writer alone.
	revision uint64 // of the last write
	written  uint64 // the change that was written
	bucket   int64  // guarded by Registrar.mu; 0: not registered
}

// New makes a registrar without services.
func New(o Options) *Registrar {
	bucket := regstore.New(regstore.Options{
		NATS: o.NATS, JetStream: o.JetStream, Namespace: o.Namespace, Bucket: o.Bucket, Warn: stores.Once(func(text string) { o.Logger.Warn("aegis: " + text) }),
	})
	if o.Heartbeat == 0 {
		o.Heartbeat = registry.DefaultHeartbeat
	}
	if o.Rewrite == 0 {
		o.Rewrite = rewriteInterval
	}
	r := &Registrar{
		o: o, nc: o.NATS, subjects: wire.NewSubjects(o.Namespace), bucket: bucket, started: time.Now(),
		dirty: make(chan struct{}, 1),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Add adds a service before Claim.
func (r *Registrar) Add(s Service) {
	if size := len(strings.Join(s.Methods, "")); size > registry.MaxMethods {
		s.Methods = nil // not known
	}
	size := 0
	for method, pattern := range s.Patterns {
		size += len(method) + len(pattern)
	}
	if size > registry.MaxPatterns {
		s.Patterns = nil // not known
	}
	r.regs = append(r.regs, &registration{
		service:    s.Name,
		key:        wire.RegistryKey(s.Name, r.o.Instance),
		subject:    r.subjects.Beat(s.Name, r.o.Instance),
		subscriber: s.Subscriber,
		shared:     s.Shared,
		record: registry.Record{
			Service: s.Name, Instance: r.o.Instance, Process: r.o.Process,
			Incarnation: registry.NextIncarnation(0, r.started), Change: 1,
			State: registry.Starting, Version: s.Version, Started: r.started, Heartbeat: r.o.Heartbeat, Methods: s.Methods, Patterns: s.Patterns,
		},
	})
}

// Claim registers the instance before it serves. The error wraps [ErrNameTaken]
// if another process lives under its name. A registry that cannot be used is no
// error: it is logged, and tried again from Start on.
func (r *Registrar) Claim(ctx context.Context) error {
	errs := make([]error, len(r.regs))
	var claims sync.WaitGroup
	for i, reg := range r.regs {
		claims.Go(func() { errs[i] = r.keep(ctx, reg) })
	}
	claims.Wait()
	err := errors.Join(errs...)
	if err != nil && !errors.Is(err, ErrNameTaken) && ctx.Err() == nil {
		err = errors.Join(err, r.ask(ctx))
	}
	return r.outcome(ctx, err)
}

// outcome logs what is no reason to stop, and returns what is.
func (r *Registrar) outcome(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrNameTaken):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !r.nc.IsConnected():
		return nil // nobody is served, and there are no heartbeats either: it is told when NATS is back
	}
	r.mu.Lock()
	was := r.degraded
	r.degraded = err != nil
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.o.Logger.Warn("aegis: this instance cannot be registered; it serves, is known by its heartbeats alone, and tries again", "err", err)
	case err == nil && was:
		r.o.Logger.Info("aegis: this instance is registered")
	}
	return nil
}

// Start begins to send heartbeats and to keep the records written.
func (r *Registrar) Start() {
	r.setAudible(true)
	r.beatDenied()
	r.beat()
	r.tasks.Go(r.beatLoop)
	r.tasks.Go(r.writeLoop)
}

func (r *Registrar) setAudible(audible bool) {
	r.mu.Lock()
	r.audible = audible
	r.mu.Unlock()
}

// SetState changes the state in all records.
func (r *Registrar) SetState(state registry.State) {
	r.change(func(record *registry.Record) bool {
		record.State = state
		return true
	})
}

// SetLead says that the instance leads a group.
func (r *Registrar) SetLead(service string, lead registry.Lead) {
	r.change(func(record *registry.Record) bool {
		if record.Service != service {
			return false
		}
		record.Leads = registry.WithLead(record.Leads, lead)
		return true
	})
}

// ClearLead says that a term is over.
func (r *Registrar) ClearLead(service, group string, term uint64) {
	r.change(func(record *registry.Record) bool {
		led := record.Service == service &&
			slices.ContainsFunc(record.Leads, func(l registry.Lead) bool { return l.Group == group && l.Term == term })
		if led {
			record.Leads = registry.WithoutLead(record.Leads, group)
		}
		return led
	})
}

// SetCondition changes the condition in all records.
func (r *Registrar) SetCondition(c registry.Condition) {
	r.change(func(record *registry.Record) bool {
		changed := record.Condition != c
		record.Condition = c
		return changed
	})
}

// change changes records, and tells everybody at once.
func (r *Registrar) change(f func(*registry.Record) bool) {
	r.mu.Lock()
	var changed []*registration
	for _, reg := range r.regs {
		if !r.stopped && f(&reg.record) {
			reg.record.Change++
			changed = append(changed, reg)
		}
	}
	r.mu.Unlock()
	for _, reg := range changed {
		r.send(reg)
	}
	if len(changed) > 0 {
		r.wake()
	}
}

func (r *Registrar) wake() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// beatLoop sends the heartbeats. Nothing that it does waits for anybody.
func (r *Registrar) beatLoop() {
	ticker := time.NewTicker(r.o.Heartbeat)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-r.ctx.Done():
			return
		case now := <-ticker.C:
			// After a long pause another process may have the name.
			if now.Sub(last) > registry.MissedHeartbeats*r.o.Heartbeat {
				r.wake()
			}
			last = now
			r.beat()
		}
	}
}

func (r *Registrar) beat() {
	for _, reg := range r.regs {
		r.send(reg)
	}
}

// send sends a heartbeat. On a connection that is down nats.go would keep it
// and send it when it is old.
func (r *Registrar) send(reg *registration) {
	r.mu.Lock()
	record, audible := reg.record, r.audible && !reg.muted && !reg.denied
	b := registry.Beat{Record: &record, Bucket: reg.bucket}
	r.mu.Unlock()
	if !audible || !r.nc.IsConnected() {
		return
	}
	if r.o.Metrics != nil && record.State != registry.Stopped {
		b.Metrics = r.o.Metrics(record.Service)
	}
	if r.o.Load != nil && record.State != registry.Stopped {
		b.Load = r.o.Load(record.Service)
	}
	if data, err := b.Encode(); err == nil {
		_ = r.nc.Publish(reg.subject, data) // the next one may get through
	} else {
		r.o.Logger.Error("aegis: a heartbeat cannot be made", "err", err)
	}
}

// Stop deregisters the instance: a last heartbeat says goodbye, and the keys are
// deleted. It returns when ctx ends at the latest; what is left then expires.
func (r *Registrar) Stop(ctx context.Context) {
	r.cancel()
	r.tasks.Wait()
	r.mu.Lock()
	stopped := r.stopped
	r.stopped = true
	for _, reg := range r.regs {
		reg.record.State, reg.record.Leads = registry.Stopped, nil
		reg.record.Change++
	}
	r.mu.Unlock()
	if stopped || !r.nc.IsConnected() {
		return
	}
	var removals sync.WaitGroup
	for _, reg := range r.regs {
		r.send(reg) // first, as nobody should wait for the store
		if reg.revision != 0 && !reg.denied {
			removals.Go(func() { r.remove(ctx, reg) })
		}
	}
	removals.Wait()
}
