package aegis

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// supersededAfter is how long after the announcement of a new term the calls of
// an older one are given for a reply that is under way.
const supersededAfter = 25 * time.Millisecond

// leaderView is what a connection knows of who leads a group. It asks once and
// then follows the announcements; it asks again when what it knows proves wrong.
type leaderView struct {
	conn           *Conn
	service, group string
	term           atomic.Uint64          // 0: not known
	instance       atomic.Pointer[string] // which leads in that term, as somebody said

	// news counts what makes waiting calls try again: a new term, and the
	// announcement that it is served. Candidates tell of a term before that.
	news atomic.Uint64

	hurry chan struct{} // of one: the pace has begun anew

	mu      sync.Mutex
	changed chan struct{} // closed when there are news, or it is refused to ask
	asking  bool
	pace    askPace
	refused *Error // why it could not be asked, the last time
}

// leaders are the views of a connection, by service and group.
type leaders struct {
	mu     sync.Mutex
	views  map[string]*leaderView
	subs   []*nats.Subscription // of the views, to the announcements
	closed bool
}

// leader returns the view of a group, and begins it if it is the first client
// to want it.
func (c *Conn) leader(service, group string) (*leaderView, error) {
	c.leaders.mu.Lock()
	defer c.leaders.mu.Unlock()
	if c.leaders.closed {
		return nil, ErrConnClosed
	}
	id := service + "." + group
	if v := c.leaders.views[id]; v != nil {
		return v, nil
	}
	v := &leaderView{conn: c, service: service, group: group, changed: make(chan struct{}), hurry: make(chan struct{}, 1)}
	sub, err := c.nc.Subscribe(c.subjects.Led(service, group), v.announced)
	if err != nil {
		return nil, err
	}
	c.leaders.subs = append(c.leaders.subs, sub)
	if c.leaders.views == nil {
		c.leaders.views = make(map[string]*leaderView)
	}
	c.leaders.views[id] = v
	v.doubt()
	return v, nil
}

// reconnected makes all views ask again: announcements may have been missed.
func (l *leaders) reconnected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.views {
		v.doubtAtOnce()
	}
}

// close ends the subscriptions: the NATS connection may live on.
func (l *leaders) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, sub := range l.subs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	l.subs = nil
}

// leaderBody is what candidates answer and leaders announce.
type leaderBody struct {
	Term     uint64 `json:"term"`
	Instance string `json:"instance"`
}

func (v *leaderView) announced(msg *nats.Msg) {
	var body leaderBody
	if json.Unmarshal(msg.Data, &body) == nil {
		v.learn(&body, true)
	}
}

// learn takes a term that is newer than the one known, or that is served now.
func (v *leaderView) learn(body *leaderBody, served bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	term, old := body.Term, v.term.Load()
	if term < old || term == old && !served {
		return
	}
	v.instance.Store(&body.Instance)
	v.term.Store(term)
	v.news.Add(1)
	close(v.changed)
	v.changed = make(chan struct{})
	v.pace = askPace{}
	if old != 0 && term > old {
		time.AfterFunc(supersededAfter, func() { v.endOlder(term) })
	}
}

// endOlder ends the calls of terms before this one: their leader acts no more,
// and cannot reply.
func (v *leaderView) endOlder(term uint64) {
	prefix := v.conn.subjects.Lead(v.service, "", "", 0)
	prefix = prefix[:len(prefix)-len("..0")]
	older := func(target string) bool {
		rest, ok := strings.CutPrefix(target, prefix)
		if !ok {
			return false
		}
		tokens := strings.Split(rest, ".") // method, group, term
		if len(tokens) != 3 || tokens[1] != v.group {
			return false
		}
		n, err := strconv.ParseUint(tokens[2], 10, 64)
		return err == nil && n < term
	}
	v.conn.bus.Fail(older, &leadershipLost(v.service, v.group).st)
	v.conn.streams.FailTargets(older, &leadershipLost(v.service, v.group).st)
}

func leadershipLost(service, group string) *Error {
	return refusal(CodeAborted, ReasonLeadershipLost,
		"the leader of %s, group %s, lost its leadership before it replied; whether the handler ran is unknown", service, group)
}

// unserved is the error of a call that found nobody on the subject of the term that
// is known: its leader has been elected and does not listen yet, or no more.
func (v *leaderView) unserved() *Error {
	leader := "its leader"
	if name := v.instance.Load(); name != nil && *name != "" {
		leader = *name
	}
	return refusal(CodeUnavailable, ReasonNotActive, "nobody serves %s, group %s: %s was elected, and does not listen: "+
		"its OnLeading has not returned, or it is gone and nobody has taken its place yet", v.service, v.group, leader)
}

// doubt asks who leads until somebody knows, or NATS does not let this user ask.
func (v *leaderView) doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.asking {
		changed := v.changed
		v.refused = nil
		v.asking = v.conn.start(func() { v.ask(changed) })
	}
}

// doubtAtOnce is doubt without the rest of a pause.
func (v *leaderView) doubtAtOnce() {
	v.mu.Lock()
	v.pace = askPace{}
	v.mu.Unlock()
	select {
	case v.hurry <- struct{}{}:
	default: // it hurries already
	}
	v.doubt()
}

// refuse wakes the calls that wait for a leader whom this user may not ask for. The
// next one asks at once.
func (v *leaderView) refuse(err *Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = err
	v.pace = askPace{}
	close(v.changed)
	v.changed = make(chan struct{})
}

// ask asks until somebody names a leader, there are news without that, or NATS does
// not let this user ask.
func (v *leaderView) ask(changed <-chan struct{}) {
	known := make(chan struct{}, 1)
	reply, stop := v.conn.bus.Collect(func(msg *nats.Msg) {
		var body leaderBody
		if json.Unmarshal(msg.Data, &body) == nil && body.Term > 0 {
			v.learn(&body, false)
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
	subject := v.conn.subjects.Who(v.service, v.group)
	allowed, end := v.conn.bus.Denials.Context(v.conn.ctx, func(d *denials.Denial) bool { return d.Publishing(subject) })
	defer func() {
		if denial := end(); denial != nil {
			v.refuse(permissionError(subject, denial.Err))
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

func (v *leaderView) untilQuestion() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pace.wait(time.Now())
}

func (v *leaderView) question(subject, reply string) {
	v.mu.Lock()
	v.pace.ask(time.Now())
	v.mu.Unlock()
	_ = v.conn.nc.PublishRequest(subject, reply, nil) // asked again later
}

// await returns as soon as there are other news than the given ones, or when ctx
// ends or the time comes. The error is that this user may not ask who leads.
func (v *leaderView) await(ctx context.Context, news uint64, until time.Time) *Error {
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
