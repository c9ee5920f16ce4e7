package bus

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

const (
	voidInterval = time.Minute
	voidTimeout  = 2 * time.Second
)

// Lag knows whether the answers of NATS come late at the moment, because so much else is
// under way. Ask begins to find that out.
type Lag interface {
	Ask()
	Lags() bool
}

// Void finds out whether NATS can still say that nobody listens, by requests to
// subjects that nobody serves. A subscription that covers everything (`nats sub '>'`), a
// stream that stores the messages of a kind of subject, or an optimistic gateway of a
// super-cluster hides that: calls to nobody then run into their deadline in place of
// failing at once. Everything stays correct, so the only consequence is a warning that
// names the cause. It is safe for concurrent use.
type Void struct {
	bus      *Bus
	subjects wire.Subjects
	lag      Lag
	logger   *slog.Logger
	added    chan struct{} // of one: Run has to probe; never closed

	mu     sync.Mutex // guards the fields below
	kinds  []string
	hidden map[string]string // the cause, by kind; "" where NATS says that nobody listens
	denied map[string]bool   // kinds that this user may not probe
}

// NewVoid makes the probe of a bus. Run does the work.
func NewVoid(b *Bus, subjects wire.Subjects, lag Lag, logger *slog.Logger) *Void {
	return &Void{
		bus: b, subjects: subjects, lag: lag, logger: logger, added: make(chan struct{}, 1),
		hidden: make(map[string]string), denied: make(map[string]bool),
	}
}

// Use adds a kind of subject that this connection sends requests to.
func (v *Void) Use(kind string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.kinds, kind) {
		return
	}
	v.kinds = append(v.kinds, kind)
	v.Look()
}

// Look has Run probe now.
func (v *Void) Look() {
	select {
	case v.added <- struct{}{}:
	default: // Run is about to probe
	}
}

// Found reports whether NATS hides that nobody listens, for any kind in use.
func (v *Void) Found() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, why := range v.hidden {
		if why != "" {
			return true
		}
	}
	return false
}

// Probed reports whether the answer is known for all kinds in use that may be probed.
func (v *Void) Probed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, kind := range v.kinds {
		if _, known := v.hidden[kind]; !known && !v.denied[kind] {
			return false
		}
	}
	return true
}

// Run probes when a kind is added, and every minute.
func (v *Void) Run(ctx context.Context) {
	ticker := time.NewTicker(voidInterval)
	defer ticker.Stop()
	for {
		select {
		case <-v.added:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		v.mu.Lock()
		kinds := slices.DeleteFunc(slices.Clone(v.kinds), func(kind string) bool { return v.denied[kind] })
		v.mu.Unlock()
		for _, kind := range kinds {
			v.probe(ctx, kind)
		}
	}
}

func (v *Void) probe(ctx context.Context, kind string) {
	subject := v.subjects.Void(kind, rand.Text())
	v.lag.Ask()
	slot := v.bus.Acquire()
	defer v.bus.Release(slot)
	failure := v.bus.exchangeThrough(ctx, slot, subject, time.Now().Add(voidTimeout))
	switch {
	case ctx.Err() != nil || !v.bus.Link.Up(), failure != nil && failure.Code == status.DeadlineExceeded && v.lag.Lags():
		return // this shows nothing: the answer may be late behind something else
	case failure != nil && failure.Code == status.PermissionDenied:
		v.logger.Debug("aegis: not allowed to probe for hidden no-responders", "subject", subject)
		v.mu.Lock()
		v.denied[kind] = true // a further probe would be an error in the log every minute
		v.mu.Unlock()
		return
	}
	why := ""
	if failure == nil || failure.Reason != status.ReasonNoResponders {
		why = v.explain(kind, slot.Auditor())
	}
	v.mu.Lock()
	was := v.hidden[kind]
	v.hidden[kind] = why
	v.mu.Unlock()
	if why != "" && why != was {
		v.logger.Warn("aegis: "+why, "subject", v.subjects.Void(kind, "*"))
	}
}

// explain returns why NATS does not say when nobody listens; stream is the name of the
// stream that has stored the probe, or "".
func (v *Void) explain(kind, stream string) string {
	const slow = "calls to services that are not there take their whole timeout"
	if stream != "" {
		return "the stream " + stream + " stores what is sent to " + v.subjects.Kind(kind) +
			"; NATS does not say there when nobody listens, and " + slow
	}
	return "NATS does not say when nobody listens: somebody subscribes to everything " +
		"(such as nats sub '>'), or a gateway is optimistic; " + slow
}
