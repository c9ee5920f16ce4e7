// Package leaderview has what a connection knows of the leaders of the single active
// groups that its clients call.
package leaderview

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// supersededAfter is how long after the announcement of a new term the calls of an older
// one wait for replies that are under way.
const supersededAfter = 25 * time.Millisecond

// Options are those of New.
type Options struct {
	Bus      *bus.Bus
	Subjects wire.Subjects
	// Start runs a goroutine for as long as the connection lives, and reports whether it
	// still does.
	Start func(func(ctx context.Context)) bool
	// FailStreams ends the streams whose opens were sent to matching subjects.
	FailStreams func(match func(subject string) bool, why *status.Status)
}

// Views are those of a connection, by service and group. They are safe for concurrent
// use.
type Views struct {
	o Options

	mu     sync.Mutex // guards the fields below
	views  map[string]*View
	subs   []*nats.Subscription // of the views, to the announcements
	closed bool
}

// New makes the views of a connection.
func New(o Options) *Views { return &Views{o: o, views: make(map[string]*View)} }

// View is what a connection knows of the leader of a group. It asks once who leads, and
// then follows the announcements of leaders; it asks again when a call has shown that its
// knowledge is wrong. It is safe for concurrent use.
type View struct {
	// Group is the name of the group.
	Group string

	o        *Options
	service  string
	term     atomic.Uint64          // 0: not known
	instance atomic.Pointer[string] // the leader's name in that term; nil: not known

	// news counts what makes waiting calls try again: a new term, and the announcement
	// that a leader serves it. Candidates tell of a term before it is served.
	news atomic.Uint64

	gaps gaps // of the leader, as calls find them

	hurry chan struct{} // holds one; tells the goroutine of ask that pace is new

	mu      sync.Mutex     // guards the fields below
	changed chan struct{}  // closed by learn and refuse, which then make another one
	asking  bool           // the goroutine of ask runs
	pace    pace           // of the questions
	refused *status.Status // why NATS did not let this user ask, the last time
}

// Of returns the view of a group. The first call for a group begins to ask who leads it.
func (l *Views) Of(service, group string) (*View, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, bus.ErrClosed
	}
	id := service + "." + group
	if v := l.views[id]; v != nil {
		return v, nil
	}
	v := &View{Group: group, o: &l.o, service: service, changed: make(chan struct{}), hurry: make(chan struct{}, 1)}
	sub, err := l.o.Bus.NATS.Subscribe(l.o.Subjects.Led(service, group), v.announced)
	if err != nil {
		return nil, err
	}
	l.subs = append(l.subs, sub)
	l.views[id] = v
	v.Doubt()
	return v, nil
}

// Reconnected makes all views ask again, as they may have missed announcements.
func (l *Views) Reconnected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.views {
		v.doubtAtOnce()
	}
}

// Close ends the subscriptions, as the NATS connection may live on.
func (l *Views) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, sub := range l.subs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	l.subs = nil
}

// Term returns the term of the leader that is known; 0 if none is.
func (v *View) Term() uint64 { return v.term.Load() }

// News returns a number that changes when a call that waits should try again.
func (v *View) News() uint64 { return v.news.Load() }

// announced takes the announcement of a leader.
func (v *View) announced(msg *nats.Msg) {
	if l, ok := wire.DecodeLeader(msg.Data); ok {
		v.learn(&l, true)
		v.gaps.end()
	}
}

// learn takes in that an instance leads in a term. An older term than the one that is
// known changes nothing, and the same term only if its leader serves now.
func (v *View) learn(l *wire.Leader, served bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	term, old := l.Term, v.term.Load()
	if term < old || term == old && !served {
		return
	}
	v.instance.Store(&l.Instance)
	v.term.Store(term)
	v.news.Add(1)
	close(v.changed)
	v.changed = make(chan struct{})
	v.pace = pace{}
	if old != 0 && term > old {
		time.AfterFunc(supersededAfter, func() { v.failOlder(term) })
	}
}

// failOlder ends the calls and streams of terms before this one: their leader must not act
// any more, and cannot reply.
func (v *View) failOlder(term uint64) {
	prefix := v.o.Subjects.Lead(v.service, "", "", 0)
	prefix = prefix[:len(prefix)-len("..0")]
	older := func(target string) bool {
		rest, ok := strings.CutPrefix(target, prefix)
		if !ok {
			return false
		}
		tokens := strings.Split(rest, ".") // method, group, term
		if len(tokens) != 3 || tokens[1] != v.Group {
			return false
		}
		n, err := strconv.ParseUint(tokens[2], 10, 64)
		return err == nil && n < term
	}
	v.o.Bus.Fail(older, Lost(v.service, v.Group))
	v.o.FailStreams(older, Lost(v.service, v.Group))
}

// Lost returns the status of a call whose leader lost its leadership.
func Lost(service, group string) *status.Status {
	return status.Refusal(status.Aborted, wire.ReasonLeadershipLost,
		"the leader of %s, group %s, lost its leadership before it replied; whether the handler ran is unknown", service, group)
}

// Unserved returns the status of a call for which nobody listens on the subject of the
// term that is known: the leader was elected, and does not listen yet, or no more.
func (v *View) Unserved() *status.Status {
	leader := "its leader"
	if name := v.instance.Load(); name != nil && *name != "" {
		leader = *name
	}
	return status.Refusal(status.Unavailable, wire.ReasonNotActive, "nobody serves %s, group %s: %s was elected, and does not listen: "+
		"its OnLeading has not returned, or it is gone and nobody has taken its place yet", v.service, v.Group, leader)
}

// Doubt has the view ask who leads, until a candidate knows, or NATS does not let this
// user ask.
func (v *View) Doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.asking {
		changed := v.changed
		v.refused = nil
		v.asking = v.o.Start(func(ctx context.Context) { v.ask(ctx, changed) })
	}
}

// doubtAtOnce is Doubt without the rest of the pause between two questions.
func (v *View) doubtAtOnce() {
	v.mu.Lock()
	v.pace = pace{}
	v.mu.Unlock()
	select {
	case v.hurry <- struct{}{}:
	default: // it was told already
	}
	v.Doubt()
}

// refuse wakes the calls that wait for a leader, as NATS does not let this user ask who
// leads. The next call asks at once.
func (v *View) refuse(err *status.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = err
	v.pace = pace{}
	close(v.changed)
	v.changed = make(chan struct{})
}

// ask asks until a candidate names a leader, a leader announces itself, or NATS does not
// let this user ask.
func (v *View) ask(ctx context.Context, changed <-chan struct{}) {
	known := make(chan struct{}, 1)
	reply, stop := v.o.Bus.Collect(func(msg *nats.Msg) {
		if l, ok := wire.DecodeLeader(msg.Data); ok && l.Term > 0 {
			v.learn(&l, false)
			select {
			case known <- struct{}{}:
			default:
			}
		}
	})
	defer stop()
	defer func() {
		v.mu.Lock()
		v.asking = false
		v.mu.Unlock()
	}()
	subject := v.o.Subjects.Who(v.service, v.Group)
	allowed, endWatch := v.o.Bus.Denials.Context(ctx, func(d *denials.Denial) bool { return d.Publishing(subject) })
	defer func() {
		if denial := endWatch(); denial != nil {
			v.refuse(bus.Denied(subject, denial.Err))
		}
	}()
	timer := time.NewTimer(v.untilQuestion())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			v.question(subject, reply)
		case <-v.hurry:
		case <-known:
			return
		case <-changed:
			return
		case <-allowed.Done():
			return
		}
		timer.Reset(v.untilQuestion())
	}
}

// untilQuestion returns how long the next question has to wait.
func (v *View) untilQuestion() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pace.wait(time.Now())
}

func (v *View) question(subject, reply string) {
	v.mu.Lock()
	v.pace.ask(time.Now())
	v.mu.Unlock()
	_ = v.o.Bus.NATS.PublishRequest(subject, reply, nil) // if it is lost, another one follows
}

// Await waits until there are other news than the given ones, until a time, or until ctx
// ends. It returns a status if NATS does not let this user ask who leads.
func (v *View) Await(ctx context.Context, news uint64, until time.Time) *status.Status {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		v.mu.Lock()
		changed, refused := v.changed, v.refused
		v.mu.Unlock()
		if v.news.Load() != news {
			return nil
		}
		if refused != nil {
			return refused
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// Sleep pauses until there are other news than the given ones, and reports whether
// there is time left until the deadline then. A user who may not ask who leads may yet
// hear a leader announce itself.
func (v *View) Sleep(ctx context.Context, news uint64, pause time.Duration, deadline time.Time) bool {
	until := time.Now().Add(pause)
	if until.After(deadline) {
		until = deadline
	}
	if why := v.Await(ctx, news, until); why != nil {
		bus.Sleep(ctx, time.Until(until), deadline)
	}
	return ctx.Err() == nil && time.Now().Before(deadline)
}
