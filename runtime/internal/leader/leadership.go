package leader

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// Duty is the task of a leadership: the group, and the functions of the server that a term
// needs.
// The functions but OnLeading are called within the election's loop and must not wait.
type Duty struct {
	// Service is the full name of the service, and Group the group in it.
	Service, Group string
	// Election is the configuration of the election, and ActWindow the act window
	// that the log names.
	Election  election.Config
	ActWindow time.Duration
	// Grace is how long the handlers of a term may run on that is handed over.
	Grace time.Duration

	// Context returns the context that the term's handlers have.
	Context func(Info) context.Context
	// OnLeading loads the state; calls are served when it has returned.
	OnLeading func(context.Context, Info) error
	// Queue gets the messages on the term's subjects.
	Queue chan *nats.Msg
	// AddRoutes and RemoveRoutes say that requests on these subjects belong to the
	// term, and no longer do.
	AddRoutes, RemoveRoutes func(*Term)
	// Began is called when calls are served, and Ended, with the cause, when they no
	// longer are; the cause is nil if the process has resigned.
	Began func(*Term)
	Ended func(t *Term, cause error)

	// Part fails while the candidate cannot stand, unless Stopping.
	Part     *parts.Part
	Stopping func() bool
	Logger   *slog.Logger
}

// Leadership is the part of this process in one group: the observer of its candidate.
// Its methods that the election calls run within the election's loop, so they never
// wait.
type Leadership struct {
	Service, Group string // of its duty

	duty      Duty
	logger    *slog.Logger // names the group
	elector   *Elector
	candidate *Group

	current  atomic.Pointer[Term] // from Leading to Lost
	resigned chan struct{}        // closed by Resigned: nothing is left to release

	handing atomic.Bool // a request to hand over is being answered

	gaps quiet.Interruptions // of the leader's contact with NATS

	mu       sync.Mutex // guards stopping, and the subscriptions of the terms
	stopping bool
}

// Take adds a candidate for a duty, before Start.
func (e *Elector) Take(d Duty) (*Leadership, error) {
	l := &Leadership{
		Service: d.Service, Group: d.Group, duty: d, elector: e, logger: d.Logger.With("service", d.Service, "group", d.Group),
		resigned: make(chan struct{}),
	}
	l.tellGaps()
	var err error
	if l.candidate, err = e.Add(d.Service, d.Group, d.Election, l); err != nil {
		return nil, err
	}
	l.candidate.leadership = l
	d.Part.Begins()
	return l, nil
}

// Current returns the present term, or nil.
func (l *Leadership) Current() *Term { return l.current.Load() }

// Leading begins a term: OnLeading runs, nothing is served yet.
func (l *Leadership) Leading(lease *election.Lease) {
	info := Info{Service: l.Service, Group: l.Group, Token: uint64(lease.Term()), Since: time.Now()}
	t := newTerm(l.duty.Context(info), info, lease, l.elector.rouse, l.duty.Logger)
	l.mu.Lock()
	l.current.Store(t)
	if l.stopping {
		t.stopLoading()
	}
	l.mu.Unlock()
	t.logger.Info("aegis: elected, loading")
	go func() { l.candidate.Led(lease.Term(), t.load(l.duty.OnLeading)) }()
}

// Serving follows when OnLeading has returned: calls come in over the term's own
// subject, and everybody hears of the term.
func (l *Leadership) Serving(*election.Lease) {
	t := l.current.Load()
	if err := l.listen(t); err != nil {
		// Clients find nobody on the term's subject and ask again.
		t.logger.Error("aegis: elected, but calls cannot be subscribed to", "err", err)
	}
	t.served.Store(true)
	l.announce(t)
	t.logger.Info("aegis: leading")
	l.duty.Began(t)
}

// announce tells everybody that the term is served.
func (l *Leadership) announce(t *Term) {
	l.candidate.Announce(t.Lease.Term())
}

// listen subscribes to the term's subjects.
func (l *Leadership) listen(t *Term) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return nil // the queue takes nothing new
	}
	l.duty.AddRoutes(t)
	nc, subjects := l.elector.nc, l.elector.subjects
	own, err := nc.ChanSubscribe(subjects.Lead(t.Service, "*", t.Group, t.Token), l.duty.Queue)
	if err != nil {
		return err
	}
	t.subs = append(t.subs, own)
	anybody, err := nc.ChanQueueSubscribe(subjects.LeadAny(t.Service, "*", t.Group), wire.Queue, l.duty.Queue)
	if err == nil {
		t.subs = append(t.subs, anybody)
	}
	return err
}

// leave unsubscribes from the term's subjects. The routes stay for a while: requests that
// are in the server's queue already are told that this process leads no more.
func (l *Leadership) leave(t *Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sub := range t.subs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	t.subs = nil
	time.AfterFunc(routesStay, func() { l.duty.RemoveRoutes(t) })
}

// longGap is how long a leader has no contact before the log says so while that lasts.
const longGap = time.Second

// tellGaps prepares the lines of the log about lost contact: the election calls the
// leader suspended.
func (l *Leadership) tellGaps() {
	logger := l.logger.With("act_window", l.duty.ActWindow)
	l.gaps.Least = longGap
	l.gaps.Lasts = func(since time.Duration) {
		logger.Warn("aegis: this leader does not act: what it sends to itself through NATS does not come back; "+
			"calls are refused and tried again, and others lead once its lease has ended", "for", since.Round(time.Millisecond))
	}
	l.gaps.Over = func(t quiet.Times) {
		logger.Warn("aegis: this leader did not act for a moment: what it sends to itself through NATS did not come back within the act window; "+
			"calls were refused and tried again. If this comes often, give this process and NATS more CPU time, or raise act_window",
			t.Attrs()...)
	}
}

// Suspended is called when contact with NATS is lost.
func (l *Leadership) Suspended(*election.Lease) {
	if l.current.Load() != nil {
		l.gaps.Begin(time.Now())
	}
}

// Resumed is called when contact is back: it has the replies that wait ask again, and
// wakes the calls that were refused meanwhile.
func (l *Leadership) Resumed(*election.Lease) {
	l.gaps.End(time.Now())
	if t := l.current.Load(); t != nil {
		t.wake()
		if t.served.Load() {
			l.announce(t)
		}
	}
}

// Lost ends the term.
func (l *Leadership) Lost(_ *election.Lease, cause error) {
	t := l.current.Swap(nil)
	if t == nil {
		return
	}
	l.gaps.End(time.Now())
	t.end()
	l.leave(t)
	l.candidate.Retract()
	switch {
	case errors.Is(cause, election.ErrResigned):
		cause = nil
		t.logger.Info("aegis: resigned")
	case errors.Is(cause, election.ErrHandedOver):
		t.logger.Info("aegis: handed over")
	default:
		t.logger.Warn("aegis: leadership lost", "cause", cause)
	}
	if t.served.Load() {
		l.duty.Ended(t, cause)
	}
}

// Resigned follows Resign, when the record is released or the lease has ended.
func (l *Leadership) Resigned() { close(l.resigned) }

// Problem says what keeps the candidate from standing.
func (l *Leadership) Problem(err error) {
	if !l.duty.Stopping() {
		l.duty.Part.Fails(err)
	}
}

// Standing says that nothing keeps the candidate from standing any more.
func (l *Leadership) Standing() { l.duty.Part.Works() }

// Resign begins to give the leadership up: no handler starts any more. It returns the
// subscriptions that the server has to drain. Release follows.
func (l *Leadership) Resign() []*nats.Subscription {
	l.candidate.Resign()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	t := l.current.Load()
	if t == nil {
		return nil
	}
	t.stopLoading()
	subs := t.subs
	t.subs = nil
	return subs
}

// Release gives the leadership up when nothing of the term runs any more.
func (l *Leadership) Release(ctx context.Context) {
	defer l.gaps.Stop()
	if t := l.current.Load(); t != nil {
		select {
		case <-t.loaded:
		case <-ctx.Done():
			t.logger.Error("aegis: OnLeading has not returned although its context has ended")
		}
	}
	l.candidate.Drained()
	select {
	case <-l.resigned:
	case <-ctx.Done():
		l.logger.Warn("aegis: leadership could not be released; the others wait out the lease")
	}
}
