package aegis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// leadership is this server's part in one group of a single active service. It
// is the observer of its candidate: what it does there happens within the
// election's loop and must not wait.
type leadership struct {
	server    *Server
	service   *service
	group     string
	methods   []*serverMethod
	onLeading func(context.Context, Term) error
	candidate *leader.Group

	current  atomic.Pointer[term] // from Leading to Lost
	resigned chan struct{}        // closed when nothing is left to release

	part *parts.Part         // it fails while the candidate cannot stand
	gaps quiet.Interruptions // of its contact with NATS, while it leads

	mu       sync.Mutex
	stopping bool
}

// term is one term of this server.
type term struct {
	info  Term
	lease *election.Lease

	ctx    context.Context //nolint:containedctx // OnLeading's: ends when the server resigns
	cancel context.CancelFunc
	base   context.Context //nolint:containedctx // the handlers': ends when the term is over
	end    context.CancelFunc
	loaded chan struct{} // closed when OnLeading has returned
	served atomic.Bool

	subs   []*nats.Subscription // these two are guarded by the leadership's mutex
	routes []string

	mu      sync.Mutex
	changed chan struct{} // closed when replies that wait should look again
}

// Leading begins a term: OnLeading runs, nothing is served yet.
func (l *leadership) Leading(lease *election.Lease) {
	t := &term{
		info:    Term{Service: l.service.spec.Name, Group: l.group, Token: uint64(lease.Term()), Since: time.Now()},
		lease:   lease,
		loaded:  make(chan struct{}),
		changed: make(chan struct{}),
	}
	t.base, t.end = context.WithCancel(context.WithValue(l.server.base, termKey{}, t.info))
	t.ctx, t.cancel = context.WithCancel(t.base)
	l.mu.Lock()
	l.current.Store(t)
	if l.stopping {
		t.cancel()
	}
	l.mu.Unlock()
	l.server.logger.Info("aegis: elected, loading", l.attrs(t)...)
	slow := time.AfterFunc(slowLoading, func() { l.loadsSlowly(t) })
	go func() {
		err := l.load(t)
		close(t.loaded)
		slow.Stop()
		l.candidate.Led(lease.Term(), err)
	}()
}

// slowLoading is how long OnLeading may take until the log says that nobody is
// served meanwhile.
const slowLoading = 5 * time.Second

// loadsSlowly says so, and again every minute.
func (l *leadership) loadsSlowly(t *term) {
	ticker := time.NewTicker(quiet.Interval)
	defer ticker.Stop()
	for {
		l.server.logger.Warn("aegis: OnLeading has not returned, and until it does nobody serves what the leader does; it should only load the state",
			append(l.attrs(t), "after", time.Since(t.info.Since).Round(time.Second))...)
		select {
		case <-t.loaded:
			return
		case <-t.base.Done():
			return
		case <-ticker.C:
		}
	}
}

// load runs the user's OnLeading.
func (l *leadership) load(t *term) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		err = fmt.Errorf("OnLeading panicked: %v", p)
		l.server.logger.Error("aegis: OnLeading panicked", append(l.attrs(t), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))...)
	}()
	err = l.onLeading(t.ctx, t.info)
	returned = true
	if err == nil && t.ctx.Err() != nil {
		err = t.ctx.Err()
	}
	return err
}

// Serving follows when OnLeading has returned: calls come in over the term's own
// subject, and everybody hears of it.
func (l *leadership) Serving(*election.Lease) {
	t := l.current.Load()
	if err := l.listen(t); err != nil {
		// Clients find nobody on the term's subject and ask again.
		l.server.logger.Error("aegis: elected, but calls cannot be subscribed to", append(l.attrs(t), "err", err)...)
	}
	t.served.Store(true)
	l.announce(t)
	l.server.logger.Info("aegis: leading", l.attrs(t)...)
	l.server.changes.publish(LeadershipChange{Term: t.info, Leading: true})
	l.registerTerm(t)
}

// announce tells everybody that the term is served.
func (l *leadership) announce(t *term) {
	l.candidate.Announce(leader.Leader{Term: t.lease.Term(), Instance: l.server.cfg.instance})
}

// listen subscribes to the term's subjects.
func (l *leadership) listen(t *term) error {
	subjects := l.server.conn.subjects
	name := l.service.spec.Name
	routes := make(map[string]route, 2*len(l.methods))
	for _, m := range l.methods {
		routes[subjects.Lead(name, m.spec.Method, l.group, t.info.Token)] = route{method: m, lead: l, term: t}
		routes[subjects.LeadAny(name, m.spec.Method, l.group)] = route{method: m, lead: l, term: t, named: true}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return nil // the queue takes nothing new
	}
	l.server.addRoutes(routes)
	for subject := range routes {
		t.routes = append(t.routes, subject)
	}
	own, err := l.server.conn.nc.ChanSubscribe(subjects.Lead(name, "*", l.group, t.info.Token), l.server.pool.Queue())
	if err != nil {
		return err
	}
	t.subs = append(t.subs, own)
	anybody, err := l.server.conn.nc.ChanQueueSubscribe(subjects.LeadAny(name, "*", l.group), wire.Queue, l.server.pool.Queue())
	if err == nil {
		t.subs = append(t.subs, anybody)
	}
	return err
}

// leave unsubscribes from the term's subjects.
func (l *leadership) leave(t *term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sub := range t.subs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	t.subs = nil
	l.server.removeRoutes(t.routes, t)
	t.routes = nil
}

// longGap is how long a leader has no contact before that is told while it lasts.
const longGap = time.Second

// tellGaps prepares what is told when contact is lost: the election calls it
// suspended.
func (l *leadership) tellGaps() {
	attrs := append(l.groupAttrs(), "act_window", cmp.Or(l.service.election.Window, election.Balanced.Config().Window))
	l.gaps.Least = longGap
	l.gaps.Lasts = func(since time.Duration) {
		l.server.logger.Warn("aegis: this leader does not act: what it sends to itself through NATS does not come back; "+
			"calls are refused and tried again, and others lead once its lease has ended", slices.Concat(attrs, []any{"for", since.Round(time.Millisecond)})...)
	}
	l.gaps.Over = func(t quiet.Times) {
		l.server.logger.Warn("aegis: this leader did not act for a moment: what it sends to itself through NATS did not come back within the act window; "+
			"calls were refused and tried again. If this comes often, give this process and NATS more CPU time, or raise act_window",
			slices.Concat(attrs, t.Attrs())...)
	}
}

// Suspended and Resumed: contact is lost and back.
func (l *leadership) Suspended(*election.Lease) {
	if l.current.Load() != nil {
		l.gaps.Begin(time.Now())
	}
}

// Resumed lets the replies that wait look again, and wakes the calls that were
// refused meanwhile.
func (l *leadership) Resumed(*election.Lease) {
	l.gaps.End(time.Now())
	if t := l.current.Load(); t != nil {
		t.wake()
		if t.served.Load() {
			l.announce(t)
		}
	}
}

func (t *term) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// Lost ends the term.
func (l *leadership) Lost(_ *election.Lease, cause error) {
	t := l.current.Swap(nil)
	if t == nil {
		return
	}
	l.gaps.End(time.Now())
	t.end()
	t.cancel()
	t.wake()
	l.leave(t)
	l.candidate.Retract()
	change := LeadershipChange{Term: t.info}
	if errors.Is(cause, election.ErrResigned) {
		l.server.logger.Info("aegis: resigned", l.attrs(t)...)
	} else {
		change.Cause = cause
		l.server.logger.Warn("aegis: leadership lost", append(l.attrs(t), "cause", cause)...)
	}
	if t.served.Load() {
		l.deregisterTerm(t)
		l.server.changes.publish(change)
	}
}

// Resigned follows resign.
func (l *leadership) Resigned() { close(l.resigned) }

// Problem says what keeps the candidate from standing.
func (l *leadership) Problem(err error) {
	if state := l.server.State(); state == StateRunning || state == StateStarting {
		l.part.Fails(err)
	}
}

// Standing says that nothing keeps it from that any more.
func (l *leadership) Standing() { l.part.Works() }

func (l *leadership) attrs(t *term) []any {
	return append(l.groupAttrs(), "term", t.info.Token)
}

func (l *leadership) groupAttrs() []any {
	return []any{"service", l.service.spec.Name, "group", l.group}
}

// resign starts to give the leadership up: no handler starts any more. It
// returns the subscriptions that the server has to drain.
func (l *leadership) resign() []*nats.Subscription {
	l.candidate.Resign()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	t := l.current.Load()
	if t == nil {
		return nil
	}
	t.cancel()
	subs := t.subs
	t.subs = nil
	return subs
}

// release gives the leadership up when nothing of the term runs any more.
func (l *leadership) release(ctx context.Context) {
	defer l.gaps.Stop()
	if t := l.current.Load(); t != nil {
		select {
		case <-t.loaded:
		case <-ctx.Done():
			l.server.logger.Error("aegis: OnLeading has not returned although its context has ended", l.attrs(t)...)
		}
	}
	l.candidate.Drained()
	select {
	case <-l.resigned:
	case <-ctx.Done():
		l.server.logger.Warn("aegis: leadership could not be released; the others wait out the lease", l.groupAttrs()...)
	}
}

// suspensionCheck is for suspensions that end before anybody is told of them.
const suspensionCheck = 50 * time.Millisecond

// mayReply waits until a reply may leave: while the leader is suspended it
// waits for contact, and false means that the term is over.
func (t *term) mayReply(clock election.Clock) bool {
	if t.lease.Reply(clock.Now()) == election.ReplySend {
		return true
	}
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		now := clock.Now()
		switch t.lease.Reply(now) {
		case election.ReplySend:
			return true
		case election.ReplyLost:
			return false
		case election.ReplyHold:
		}
		timer := time.NewTimer(min(t.lease.Until()-now.Mono, suspensionCheck))
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}
