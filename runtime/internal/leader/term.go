package leader

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// Info says which term of which group a term is.
type Info struct {
	// Service is the full name of the service, and Group the group in it.
	Service, Group string
	// Token is the fencing token, the term of the lease.
	Token uint64
	// Since is when the term began, by this machine's clock.
	Since time.Time
}

// Term is one term of this process in a group. OnLeading runs first; after that calls
// are served until the term ends. It is safe for concurrent use.
type Term struct {
	Info
	running

	Lease *election.Lease
	// Base is the context that the contexts of the term's handlers derive from. It
	// ends with the term.
	Base    context.Context //nolint:containedctx // see above
	endBase context.CancelFunc

	loading     context.Context //nolint:containedctx // OnLeading's: it ends also when the process resigns
	stopLoading context.CancelFunc
	loaded      chan struct{} // closed by load when OnLeading has returned
	served      atomic.Bool   // calls are, or were, served
	logger      *slog.Logger

	subs []*nats.Subscription // on the term's subjects; guarded by the mutex of the leadership

	// rouse has the election send a message to itself; roused says that it was called, and
	// none has come back since then.
	rouse  func()
	roused atomic.Bool

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed, and replaced, by wake
}

// newTerm begins a term. The contexts of its handlers derive from base.
func newTerm(base context.Context, info Info, lease *election.Lease, rouse func(*Term), logger *slog.Logger) *Term {
	t := &Term{
		Info: info, Lease: lease, logger: logger.With("service", info.Service, "group", info.Group, "term", info.Token),
		loaded: make(chan struct{}), changed: make(chan struct{}),
	}
	t.Base, t.endBase = context.WithCancel(base)
	t.loading, t.stopLoading = context.WithCancel(t.Base)
	t.rouse = func() {
		if t.roused.CompareAndSwap(false, true) {
			rouse(t)
		}
	}
	return t
}

// load runs the user's OnLeading and returns its error; a panic is one as well.
func (t *Term) load(onLeading func(context.Context, Info) error) (err error) {
	slow := time.AfterFunc(slowLoading, t.loadsSlowly)
	returned := false
	defer func() {
		if !returned {
			p := recover()
			err = fmt.Errorf("OnLeading panicked: %v", p)
			t.logger.Error("aegis: OnLeading panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		close(t.loaded)
		slow.Stop()
	}()
	err = onLeading(t.loading, t.Info)
	returned = true
	if err == nil && t.loading.Err() != nil {
		err = t.loading.Err()
	}
	return err
}

// slowLoading is how long OnLeading may take until the log says that nobody is
// served meanwhile.
const slowLoading = 5 * time.Second

// loadsSlowly says that OnLeading has not returned, and again every minute.
func (t *Term) loadsSlowly() {
	ticker := time.NewTicker(quiet.Interval)
	defer ticker.Stop()
	for {
		t.logger.Warn("aegis: OnLeading has not returned, and until it does nobody serves what the leader does; it should only load the state",
			"after", time.Since(t.Since).Round(time.Second))
		select {
		case <-t.loaded:
			return
		case <-t.Base.Done():
			return
		case <-ticker.C:
		}
	}
}

// suspensionCheck is how often a reply that waits asks the lease without being woken:
// a suspension may end before the election tells anybody of it.
const suspensionCheck = 50 * time.Millisecond

// MayAct reports whether a handler may start now. It waits for a message to itself of a
// leader that rests, which takes as long as NATS needs for that, and at most an act window.
func (t *Term) MayAct(clock election.Clock) bool {
	if t.Lease.MayAct(clock.Now()) {
		return true
	}
	for {
		changed := t.nextChange()
		now := clock.Now()
		if t.Lease.MayAct(now) {
			return true
		}
		t.rouse()
		if !t.Lease.Rests(now) {
			return false
		}
		t.pause(now, changed)
	}
}

// MayReply waits until a reply may leave. While the leader is suspended, or rests, it waits
// for contact; false means that the term is over.
func (t *Term) MayReply(clock election.Clock) bool {
	if t.Lease.Reply(clock.Now()) == election.ReplySend {
		return true
	}
	for {
		changed := t.nextChange()
		now := clock.Now()
		switch t.Lease.Reply(now) {
		case election.ReplySend:
			return true
		case election.ReplyLost:
			return false
		case election.ReplyHold:
		}
		t.rouse()
		t.pause(now, changed)
	}
}

// nextChange returns a channel that the next wake closes.
func (t *Term) nextChange() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// pause returns when the lease is to be asked again.
func (t *Term) pause(now election.Instant, changed <-chan struct{}) {
	timer := time.NewTimer(min(t.Lease.Until()-now.Mono, suspensionCheck))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// wake has those that wait ask the lease again.
func (t *Term) wake() {
	t.roused.Store(false)
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// end ends the contexts of the term, and the wait of its replies.
func (t *Term) end() {
	t.endBase()
	t.stopLoading()
	t.wake()
}
