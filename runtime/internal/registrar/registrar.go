// Package registrar keeps an instance in the registry: it writes a record per service
// into the KV bucket, and sends heartbeats.
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
	// rewriteInterval is the longest pause before a record is written again that has not
	// changed: the bucket drops records that are much older.
	rewriteInterval = 30 * time.Second
	// operationTimeout bounds one read or write of the bucket.
	operationTimeout = 2 * time.Second
	// firstRetry is the pause after the first write that fails. It doubles with each
	// further one, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// ErrNameTaken is wrapped by the error of a process whose name another process uses.
var ErrNameTaken = errors.New("the name of the instance is taken")

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	Link      *link.Link // of that connection
	JetStream *stores.Stores
	Namespace string
	Process   string // new at each start
	Instance  string
	Origin    registry.Origin
	Reserved  bool
	Logger    *slog.Logger
	Heartbeat time.Duration
	Bucket    bucket.Settings
	// Metrics returns the figures of a service that its heartbeat carries beside the
	// record, in JSON; nil for none. It must not wait. Default: heartbeats have none.
	Metrics func(service string) json.RawMessage
	// Load returns how busy the instance is with a service, for its heartbeat. It must not
	// wait. Default: heartbeats do not say.
	Load func(service string) registry.Load
	// Taken is called, once, when another process has taken the name.
	Taken func(error)
	// Rewrite is rewriteInterval in tests. Default: 30 s.
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
	dirty  chan struct{} // of one: a record is to be written; filled by wake, never closed
	taken  sync.Once

	mu       sync.Mutex // guards the rest, and the fields of registrations that say so
	audible  bool       // heartbeats are sent
	stopped  bool       // records change no more
	degraded bool       // the log says that the bucket cannot be used
}

// Service is a service of the instance, as it is registered.
type Service struct {
	Name, Version string
	Methods       []string // in order; nil if they are not known
	Patterns      map[string]string
	// Subscriber is set where the instance only subscribes to events: Name is then
	// wire.SubscribersOf a service. It is no error if this user may not register it.
	Subscriber bool
	// Shared is set where it does no harm that another process has the same name. It is no
	// error then; the instance is not registered while the other one is.
	Shared bool
}

// registration is the instance's record of one service.
type registration struct {
	service    string
	key        string
	subject    string // of its heartbeats
	subscriber bool
	shared     bool

	// Guarded by Registrar.mu.
	record registry.Record
	muted  bool  // another process has the name
	denied bool  // this user may not register the service
	bucket int64 // which the record is in; 0 for none

	// Used by one goroutine at a time: that of Claim, then writeLoop, then that of Stop.
	revision uint64 // of the last write
	written  uint64 // the change of the record that was written last
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
		s.Methods = nil // they are too many to be known
	}
	size := 0
	for method, pattern := range s.Patterns {
		size += len(method) + len(pattern)
	}
	if size > registry.MaxPatterns {
		s.Patterns = nil // they are too many to be known
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
			Origin: r.o.Origin, Reserved: r.o.Reserved,
		},
	})
}

// SetDescriptors sets the hash of the descriptors of a service, between Claim and Start. The
// record has it with the next change.
func (r *Registrar) SetDescriptors(service, hash string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reg := range r.regs {
		if reg.service == service && reg.record.Descriptors != hash {
			reg.record.Descriptors = hash
			reg.record.Change++
		}
	}
}

// Claim registers the instance before it serves. The error wraps [ErrNameTaken] if
// another process uses its name, or is that of ctx. A registry that cannot be used is no
// error: Claim logs it, and from Start on the registrar tries again.
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

// outcome takes the error of a registration. It returns an error that ends the instance,
// and logs any other one, once, until the registration succeeds.
func (r *Registrar) outcome(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrNameTaken):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !r.nc.IsConnected():
		return nil // the log says already that NATS is away; the outcome after its return counts
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

// Start begins to send heartbeats and to keep the records in the bucket.
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

// SetLead adds a group that the instance leads to the record of a service.
func (r *Registrar) SetLead(service string, lead registry.Lead) {
	r.change(func(record *registry.Record) bool {
		if record.Service != service {
			return false
		}
		record.Leads = registry.WithLead(record.Leads, lead)
		return true
	})
}

// ClearLead removes a group from the record of a service, if it has that term.
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

// change applies f to all records. It sends those at once, and has them written, that f
// has changed.
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

// wake makes the writer look for records that have changed.
func (r *Registrar) wake() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// beatLoop sends the heartbeats. It never waits for the bucket or another process.
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

// beat sends a heartbeat for each service.
func (r *Registrar) beat() {
	for _, reg := range r.regs {
		r.send(reg)
	}
}

// send sends a heartbeat for a service, unless the connection is down: nats.go would keep
// the heartbeat, and send it when it is old.
func (r *Registrar) send(reg *registration) {
	b, audible := r.newBeat(reg)
	if !audible || !r.nc.IsConnected() {
		return
	}
	if r.o.Load != nil && b.Record.State != registry.Stopped {
		b.Load = r.o.Load(b.Record.Service)
	}
	if data, err := b.Encode(); err == nil {
		_ = r.nc.Publish(reg.subject, data) // the next one may get through
	} else {
		r.o.Logger.Error("aegis: a heartbeat cannot be made", "err", err)
	}
}

// newBeat returns a heartbeat without the load, and whether this instance sends any.
func (r *Registrar) newBeat(reg *registration) (b registry.Beat, audible bool) {
	r.mu.Lock()
	record := reg.record
	b = registry.Beat{Record: &record, Bucket: reg.bucket}
	audible = r.audible && !reg.muted && !reg.denied
	r.mu.Unlock()
	if audible && r.o.Metrics != nil && record.State != registry.Stopped {
		b.Metrics = r.o.Metrics(record.Service)
	}
	return b, audible
}

// Beat returns the heartbeat of a service as it is now, without the load, which is that since
// the last one that was sent; nil if the instance has none.
func (r *Registrar) Beat(service string) []byte {
	if r == nil {
		return nil
	}
	for _, reg := range r.regs {
		if reg.service != service {
			continue
		}
		if b, audible := r.newBeat(reg); audible {
			data, _ := b.Encode() // nil on an error, as the heartbeats that cannot be made
			return data
		}
	}
	return nil
}

// Stop deregisters the instance: a last heartbeat says that it has stopped, and its keys
// are deleted. Stop returns when ctx ends at the latest; keys that are left then expire.
func (r *Registrar) Stop(ctx context.Context) {
	r.cancel()
	r.tasks.Wait() // from here on only this goroutine writes records
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
		r.send(reg) // before the deletion, so that watchers do not wait for the bucket
		if reg.revision != 0 && !reg.denied {
			removals.Go(func() { r.remove(ctx, reg) })
		}
	}
	removals.Wait()
}
