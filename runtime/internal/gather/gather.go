// Package gather sends a request to all instances of a service and gathers their
// replies: it knows which instances should answer, finds out which of them are gone, and
// when the replies are complete.
package gather

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Options are what a Gathering needs of its connection.
type Options struct {
	// Context ends with the connection.
	Context  context.Context //nolint:containedctx // the connection's life
	Bus      *bus.Bus
	Subjects wire.Subjects
	Patterns *patterns.Watch
}

func (o *Options) closed() bool { return o.Context.Err() != nil || o.Bus.NATS.IsClosed() }

// Broadcast is one request to all instances.
type Broadcast struct {
	Service *spec.Service
	Method  *spec.Method
	Name    string // of the method, with that of its service
	Subject string // where all instances listen
	Cancel  string // where instances are told that nobody waits for their replies
	// Replies is the number of replies that are enough, and Silence the time without a
	// reply after which no more are awaited; 0: there is no such rule. Without either
	// rule the instances answer that Expect has named.
	Replies int
	Silence time.Duration
}

// End is what Next returns behind the last reply.
var End = status.New(status.Unknown, "the replies are complete")

// Gathering is a broadcast under way. Its methods are called by one goroutine at a
// time.
type Gathering struct {
	o    Options
	b    Broadcast
	ctx  context.Context //nolint:containedctx // the call's
	news chan struct{}   // holds one; told that the fields below mu have changed

	members   map[string]*member // instances that should answer and have not
	answered  map[string]bool    // instances that nothing more is taken from
	heardAt   time.Time          // when the last reply came, or the request was sent
	askedAt   time.Time          // when silent members were asked whether they are there
	reply     string             // the subject of the replies
	stopTake  func()             // ends the subscription to the replies; nil before and after it
	stopWatch func()             // ends the watch for refusals of NATS

	mu      sync.Mutex     // guards what follows, and member.gone
	queue   []*nats.Msg    // replies that were not read
	nobody  bool           // NATS says that nobody listens
	refused *status.Status // NATS does not let this user send the broadcast
	unasked string         // a subject on which NATS does not let this user ask for a member
}

// New returns the gathering of the replies to a broadcast. Nothing is sent yet. Its end
// is Close, or that of ctx, which has a deadline.
func New(ctx context.Context, o Options, b Broadcast) *Gathering {
	return &Gathering{
		o: o, b: b, ctx: ctx, news: make(chan struct{}, 1),
		members: make(map[string]*member), answered: make(map[string]bool),
	}
}

// Named reports whether the replies end with those of the instances that Expect names,
// as there is no other rule.
func (g *Gathering) Named() bool { return g.b.Replies == 0 && g.b.Silence == 0 }

// Send sends the request. While the connection is down it waits.
func (g *Gathering) Send(header nats.Header, payload []byte) *status.Status {
	g.reply, g.stopTake = g.o.Bus.Collect(g.take)
	g.stopWatch = g.o.Bus.Denials.Watch(g.concerns, g.deny)
	deadline, _ := g.ctx.Deadline()
	for {
		g.heardAt = time.Now()
		header[wire.HeaderTimeout] = []string{wire.FormatTimeout(time.Until(deadline))}
		err := g.o.Bus.NATS.PublishMsg(&nats.Msg{Subject: g.b.Subject, Reply: g.reply, Header: header, Data: payload})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrReconnectBufExceeded): // nothing was sent
			if why := g.o.Bus.AwaitLink(g.ctx, g.b.Subject, deadline); why != nil {
				return why
			}
		default:
			return g.o.Bus.PublishError(&bus.Request{Subject: &g.b.Subject, Payload: payload, Call: true}, err)
		}
	}
}

// take queues what comes for the broadcast. It is called by the one goroutine that
// delivers replies.
func (g *Gathering) take(msg *nats.Msg) {
	g.mu.Lock()
	if bus.NoResponders(msg) {
		g.nobody = true
	} else {
		g.queue = append(g.queue, msg)
	}
	g.mu.Unlock()
	g.wake()
}

func (g *Gathering) wake() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

// concerns reports whether NATS has refused the broadcast, or the question whether a
// member is there.
func (g *Gathering) concerns(d *denials.Denial) bool {
	return d.Publishing(g.b.Subject) || !d.Subscribe && strings.HasSuffix(d.Subject, "."+g.b.Service.Name+"."+wire.NoMethod)
}

func (g *Gathering) deny(d *denials.Denial) {
	g.mu.Lock()
	if d.Subject == g.b.Subject {
		g.refused = bus.Denied(d.Subject, d.Err)
	} else {
		g.unasked = d.Subject
	}
	g.mu.Unlock()
	g.wake()
}

// Next waits for the next reply. With a status in its place, from names the instance
// that will not answer, or is empty if the broadcast itself has ended: with End if all
// went well.
func (g *Gathering) Next() (from string, reply *nats.Msg, why *status.Status) {
	for {
		if why := g.denied(); why != nil {
			return g.failed(why)
		}
		if msg := g.nextQueued(); msg != nil && !g.enough() {
			from := wire.HeaderValue(msg.Header, wire.HeaderInstance)
			if from == "" || g.answered[from] {
				continue // no instance has sent it, or one has sent it twice
			}
			g.heardAt = time.Now()
			g.closeMember(from)
			return from, msg, nil
		}
		if name, why := g.lostMember(); name != "" {
			return name, nil, why
		}
		if g.o.closed() && g.awaits() {
			return g.failed(bus.Closed())
		}
		if g.complete() {
			return g.failed(g.completion())
		}
		if ended := g.wait(); ended {
			return g.ctxEnded()
		}
	}
}

// failed closes the gathering, and returns what Next returns then.
func (g *Gathering) failed(why *status.Status) (string, *nats.Msg, *status.Status) {
	g.Close()
	return "", nil, why
}

// denied returns the status of a broadcast that NATS does not let this user send.
func (g *Gathering) denied() *status.Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

func (g *Gathering) nextQueued() *nats.Msg {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return nil
	}
	msg := g.queue[0]
	g.queue = g.queue[1:]
	return msg
}

// complete reports whether no more replies are awaited.
func (g *Gathering) complete() bool {
	switch {
	case g.nobodyListens(), g.enough():
		return true
	case g.b.Silence > 0:
		return time.Since(g.heardAt) >= g.b.Silence
	default:
		return g.b.Replies == 0 && len(g.members) == 0
	}
}

// awaits reports whether another instance may answer. Silence may last because the
// connection is closed, so that it completes nothing here.
func (g *Gathering) awaits() bool {
	return g.b.Silence > 0 && !g.enough() || !g.complete()
}

// enough reports whether as many instances have answered as were asked for.
func (g *Gathering) enough() bool { return g.b.Replies > 0 && len(g.answered) >= g.b.Replies }

func (g *Gathering) nobodyListens() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nobody
}

// completion returns the status of a broadcast whose replies are complete: End, unless
// there is no instance at all.
func (g *Gathering) completion() *status.Status {
	if !g.nobodyListens() || len(g.answered) > 0 {
		return End
	}
	why := status.Refusal(status.Unavailable, status.ReasonNoResponders, "no server of %s listens on %s", g.b.Service.Name, g.b.Subject)
	g.o.Patterns.Doubt(g.b.Service, why.Reason)
	return why.WithNotRun(true)
}

// wait waits for news, or until it is time to look again. It reports whether the
// context of the call has ended.
func (g *Gathering) wait() (ended bool) {
	timer := time.NewTimer(g.untilLook())
	defer timer.Stop()
	select {
	case <-g.news:
	case <-timer.C:
		g.askMembers()
	case <-g.o.Context.Done():
	case <-g.ctx.Done():
		return true
	}
	return false
}

// untilLook returns how long to wait for news: until the end of the silence, or until
// silent members are asked whether they are there.
func (g *Gathering) untilLook() time.Duration {
	if g.b.Silence > 0 {
		return g.b.Silence - time.Since(g.heardAt)
	}
	if g.askedAt.IsZero() {
		return askMemberAfter - time.Since(g.heardAt)
	}
	return askMemberEvery - time.Since(g.askedAt)
}

// ctxEnded returns what Next returns once the context of the call has ended: at the
// deadline one member after the other that has not answered, and then End.
func (g *Gathering) ctxEnded() (string, *nats.Msg, *status.Status) {
	err := g.ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		return g.failed(status.Of(err))
	}
	denied, hint := g.o.Bus.LastDenial(g.b.Subject)
	if denied != nil && len(g.answered) == 0 {
		return g.failed(denied)
	}
	for name := range g.members {
		g.closeMember(name)
		message := name + " has not answered " + g.b.Name + " before the deadline; whether its handler ran is unknown"
		if subject := g.mayNotAsk(); subject != "" {
			message += "; NATS does not allow this user to ask whether it is there: add " + subject + " to the user's permissions"
		}
		return name, nil, status.Because(err, status.DeadlineExceeded, message+hint)
	}
	return "", nil, End
}

// Close ends the gathering. Handlers that still run learn that nobody waits for them,
// unless their deadline has told them.
func (g *Gathering) Close() {
	if g.stopTake == nil {
		return
	}
	g.stopTake()
	g.stopWatch()
	g.stopTake = nil
	left := len(g.members) > 0 || g.b.Replies > 0 || g.b.Silence > 0
	if left && g.denied() == nil && !errors.Is(g.ctx.Err(), context.DeadlineExceeded) {
		_ = g.o.Bus.NATS.Publish(g.b.Cancel, []byte(g.reply)) // if it is lost, the deadline ends them
	}
	for name := range g.members {
		g.closeMember(name)
	}
}
