// Package patterns compares the patterns of a process's methods with the patterns that
// other instances have put into the registry. A pattern is how the messages of a method
// are distributed: to one instance, to the leader of a group, to all.
package patterns

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Name returns a method's pattern as it travels in the registry and in NATS micro.
func Name(m *spec.Method) string {
	if m.Event != nil && m.Event.Durable {
		return "durable_event"
	}
	return strings.ReplaceAll(m.Pattern.String(), " ", "_")
}

// Of returns the Name with the group: the group of a leader decides as well which instance
// gets a message.
func Of(m *spec.Method) string {
	name := Name(m)
	if m.Pattern == spec.Command && m.Group != "" {
		name = "single_active_" + name
	}
	if m.Group != "" && m.Group != spec.DefaultGroup {
		name += ":" + m.Group
	}
	return name
}

// All returns the patterns of methods as a record of the registry has them.
func All(methods []*spec.Method) map[string]string {
	patterns := make(map[string]string)
	for _, m := range methods {
		if p := Of(m); p != registry.LoadBalanced {
			patterns[m.Name] = p
		}
	}
	return patterns
}

// Watch compares the patterns of the services that a connection uses with those that
// instances have in the registry: where a pattern was changed on one side alone, messages
// are lost in silence. Watch reads a few records in the background, and logs the
// differences. It is safe for concurrent use.
type Watch struct {
	o    Options
	news chan struct{} // of one: a service is due; never closed

	mu       sync.Mutex // guards the fields below
	running  bool
	services map[string]*spec.Service // compared now and then
	doubted  map[string]time.Time     // when a call of the service last found nobody
	due      map[string]*spec.Service // compared next
	told     map[string]bool          // the differences that were logged
	denied   bool                     // this user may not read the registry
}

// Options are the options of New.
type Options struct {
	NATS   *nats.Conn
	Stores *stores.Stores
	// Bucket is the name of the registry's bucket.
	Bucket string
	// Start starts a goroutine whose context ends with the connection, and reports whether
	// the connection is still open.
	Start  func(func(ctx context.Context)) bool
	Logger *slog.Logger
}

// New makes the watch of a connection.
func New(o Options) *Watch {
	return &Watch{
		o: o, news: make(chan struct{}, 1), services: make(map[string]*spec.Service), doubted: make(map[string]time.Time),
		due: make(map[string]*spec.Service), told: make(map[string]bool),
	}
}

const (
	// patternDelay keeps the comparison apart from the start of a process.
	patternDelay = time.Second
	// patternInterval is how often services are compared again, with instances that came
	// later; doubtInterval is the least time between two doubts of one service.
	patternInterval = 5 * time.Minute
	doubtInterval   = time.Minute
	// patternRecords is how many records of a service are read.
	patternRecords = 16
	patternTimeout = 2 * time.Second
)

// Use compares the service of a publisher, a sender of commands or a server, soon and from
// then on now and then.
func (w *Watch) Use(service *spec.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.services[service.Name] == nil {
		w.services[service.Name] = service
		w.look(service)
	}
}

// Doubt compares the service of a call that failed with a reason, if the reason is that
// nobody took the call.
func (w *Watch) Doubt(service *spec.Service, reason string) {
	if reason != status.ReasonNoResponders && reason != wire.ReasonNotActive && reason != wire.ReasonNoMethod {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.doubted[service.Name]) < doubtInterval {
		return
	}
	w.doubted[service.Name] = time.Now()
	w.look(service)
}

// look makes a service due. w.mu is held.
func (w *Watch) look(service *spec.Service) {
	if w.denied {
		return
	}
	w.due[service.Name] = service
	if !w.running {
		w.running = w.o.Start(w.run)
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *Watch) run(ctx context.Context) {
	ticker := time.NewTicker(patternInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.mu.Lock()
			for _, service := range w.services {
				w.look(service)
			}
			w.mu.Unlock()
			continue
		case <-w.news:
		case <-ctx.Done():
			return
		}
		if bus.Wait(ctx, patternDelay) {
			w.compareAll(ctx)
		}
	}
}

// compareAll compares the services that are due.
func (w *Watch) compareAll(ctx context.Context) {
	w.mu.Lock()
	due := w.due
	w.due = make(map[string]*spec.Service)
	w.mu.Unlock()
	for _, service := range due {
		for _, name := range []string{service.Name, wire.SubscribersOf(service.Name)} {
			for r := range w.records(ctx, name) {
				w.compare(service, r)
			}
		}
	}
}

// compare logs each method whose pattern in a record is another one than here, once.
func (w *Watch) compare(service *spec.Service, r *registry.Record) {
	for _, m := range service.Methods {
		here := Of(m)
		there, known := r.Pattern(m.Name)
		if !known || there == here || !w.first(service.Name+"."+m.Name+" "+there) {
			continue
		}
		w.o.Logger.Warn("aegis: a method has another pattern at an instance that runs: what one side sends may not reach the other, and nobody is told; "+
			"generate and deploy both from one proto", "service", service.Name, "method", m.Name, "here", here, "there", there, "there_instance", r.Instance)
	}
}

// first reports whether a difference is new, and takes note of it.
func (w *Watch) first(difference string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[difference] {
		return false
	}
	w.told[difference] = true
	return true
}

// records yields some records of a service, the oldest first. It needs only the permission
// to read a message, and no consumer.
func (w *Watch) records(ctx context.Context, service string) func(func(*registry.Record) bool) {
	return func(yield func(*registry.Record) bool) {
		prefix := bucket.SubjectPrefix(w.o.Bucket)
		sequence := uint64(1)
		for range patternRecords {
			stored := w.read(ctx, prefix+wire.RegistryKey(service, "*"), sequence)
			if stored == nil {
				return
			}
			sequence = stored.Sequence + 1
			_, instance, _ := wire.ParseRegistryKey(strings.TrimPrefix(stored.Subject, prefix))
			r, err := registry.Decode(service, instance, stored.Data)
			if err == nil && !yield(r) { // the directory logs values that are no records
				return
			}
		}
	}
}

// read returns the first message from a sequence on, or nil if there is none or it cannot
// be read.
func (w *Watch) read(ctx context.Context, filter string, sequence uint64) *stores.Stored {
	ctx, cancel := context.WithTimeout(ctx, patternTimeout)
	defer cancel()
	stored, why := w.o.Stores.From(ctx, bucket.StreamName(w.o.Bucket), filter, sequence)
	if why == nil {
		return stored
	}
	subject := w.subject()
	if last, ok := denials.RefusesPublishing(w.o.NATS.LastError()); ok && last == subject {
		w.mu.Lock()
		w.denied = true // each further request would be an error in NATS's log
		w.mu.Unlock()
	}
	if !errors.Is(why.Cause, stores.ErrUnavailable) { // a NATS server without JetStream has no registry
		w.o.Logger.Debug("aegis: the registry cannot be read, so that patterns are not compared", "subject", subject, "err", why.Text())
	}
	return nil
}

// subject is that of requests for a message of the bucket.
func (w *Watch) subject() string {
	return w.o.Stores.MsgGet(bucket.StreamName(w.o.Bucket))
}

// Expected reports whether an asynchronous error of the connection is NATS's refusal to
// let Watch read the registry, which is not worth a line in the log.
func (w *Watch) Expected(err error) bool {
	subject, ok := denials.RefusesPublishing(err)
	return ok && subject == w.subject()
}
