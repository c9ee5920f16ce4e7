// Package pull takes messages from a consumer of JetStream: never more than
// there is room for, all of them kept from being delivered to somebody else
// while they are held, and whatever becomes of connection and consumer.
//
// nats.go has pull subscriptions as well. They hold messages that nobody sees,
// which are delivered again while they wait there.
package pull

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/link"
)

const (
	tick      = 250 * time.Millisecond
	heartbeat = 2 * time.Second
	expires   = 30 * time.Second
	// silence is how long nothing may come of what was asked for.
	silence = 3 * heartbeat
	// doubt is how soon after it was refused a puller looks for a second time: a
	// consumer that is just being deleted may still be found, and swallow what it
	// is asked.
	doubt = 500 * time.Millisecond
)

// Source is a consumer.
type Source struct {
	Name    string        // as people know it: "the consumer c of the stream s"
	Subject string        // where its messages are asked for
	AckWait time.Duration // its own

	// The most that one request may ask for, the longest that it may wait, and how
	// many requests may wait; 0: any.
	MaxBatch   int
	MaxExpires time.Duration
	MaxWaiting int
}

// Options are those of New.
type Options struct {
	NATS *nats.Conn
	Link *link.Link // of that connection
	// Denials are those of the connection.
	Denials *denials.Denials
	// Send sends an acknowledgement, now or when the connection is back.
	Send func(subject string, data []byte) error
	// Open finds the consumer, or makes it. It is called again when there is
	// reason to believe that it is gone. It may take its time: what is held is
	// kept meanwhile.
	Open func(context.Context) (Source, error)
	// Backlog asks how much the consumer has under way. It is called while nothing
	// new comes; nil: that is never looked at.
	Backlog func(context.Context) (Backlog, error)
	// Deliver takes a message. It is called by one goroutine at a time, and must
	// not wait.
	Deliver func(*Message)
	// Problem hears why no messages come, and Works that they can (again). They are
	// not called at the same time, and must not wait.
	Problem func(error)
	Works   func()
}

// Puller takes messages from one consumer. It is safe for concurrent use.
type Puller struct {
	o        Options
	ctx      context.Context //nolint:containedctx // the life of its goroutines
	cancel   context.CancelFunc
	ended    chan struct{}
	chores   sync.WaitGroup // those that may have to wait for NATS
	sub      *nats.Subscription
	unwatch  func()
	silent   chan struct{} // closed when nothing is delivered any more
	wake     chan struct{} // ends a pause
	troubles troubles
	refused  atomic.Bool // that the consumer does not deliver was told, and nothing has come since

	mu       sync.Mutex // guards all that follows
	source   Source
	open     bool // messages may be asked for
	stopping bool
	asking   asking
	alarm    alarm
	unacked  bool // NATS refuses acknowledgements
	kept     kept
}

// asking is what the puller has asked its consumer for.
type asking struct {
	window      int
	outstanding int // asked for and not delivered
	request     request
	refusals    refusals
}

// alarm says when the consumer has to be looked at.
type alarm struct {
	seen    time.Time // when something came
	doubtAt time.Time // when to look again in any case; zero: not
	watch   watch
}

// kept are the messages that were delivered and have no end yet, the oldest first.
type kept struct {
	head, tail *Message
	bySequence map[uint64]*Message // the same messages
	count      int
	parked     int // of those: that count for nothing
}

// Start begins. Nothing comes before SetWindow was called.
func Start(o Options) (*Puller, error) {
	p := &Puller{o: o, ended: make(chan struct{}), silent: make(chan struct{}), wake: make(chan struct{}, 1)}
	p.kept.bySequence = make(map[uint64]*Message)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	inbox := o.NATS.NewInbox()
	p.asking.request = newRequest(inbox)
	var err error
	if p.sub, err = o.NATS.Subscribe(inbox+".*", p.received); err != nil {
		p.cancel()
		return nil, err
	}
	p.sub.SetClosedHandler(func(string) { close(p.silent) })
	// What is pending is bounded by what was asked for.
	if err := p.sub.SetPendingLimits(-1, -1); err != nil {
		p.cancel()
		_ = p.sub.Unsubscribe() // fails only if it is gone already
		return nil, err
	}
	returns := o.Link.Returns()
	p.unwatch = o.Denials.Watch(p.concerns, p.denied)
	p.mu.Lock()
	p.alarm.watch.progress(time.Now())
	p.look(0)
	p.mu.Unlock()
	go p.run(returns)
	return p, nil
}

// SetWindow says how many messages may be held or asked for.
func (p *Puller) SetWindow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking.window = n
	p.ask()
}

// Held is how many messages are held.
func (p *Puller) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.count
}

// Stop asks for no more messages, and returns when those that were on their way
// are delivered, or ctx has ended; Deliver is not called after that. What is held
// stays held until Close.
func (p *Puller) Stop(ctx context.Context) {
	p.mu.Lock()
	again := p.stopping
	p.stopping = true
	p.mu.Unlock()
	if !again && (!p.o.NATS.IsConnected() || p.sub.Drain() != nil) {
		_ = p.sub.Unsubscribe() // fails only if it is gone already
	}
	select {
	case <-p.silent:
		return
	case <-ctx.Done():
	}
	_ = p.sub.Unsubscribe() // as above
	<-p.silent              // what is delivered just now, which does not wait
}

// Close ends what Stop left: messages that are still held are delivered again
// when their time is over.
func (p *Puller) Close() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.cancel()
	<-p.ended
	p.unwatch()
	p.chores.Wait()
	_ = p.sub.Unsubscribe() // fails only if it is gone already
}

// run gives signs of life for what is held. It never waits for an answer.
func (p *Puller) run(returns uint64) {
	defer close(p.ended)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	interval := tick
	for {
		state := p.o.Link.State()
		now := time.Now()
		if state.Returns == returns {
			select {
			case <-p.ctx.Done():
				return
			case <-state.Changed():
				continue
			case now = <-ticker.C:
			}
		}
		anew := state.Returns != returns
		returns = state.Returns
		if next := p.tick(now, anew); next != interval {
			interval = next
			ticker.Reset(interval)
		}
	}
}

// tick renews what has been held for long, looks whether what was asked for is
// still on its way, and returns when to do so again. The connection may have come
// back anew.
func (p *Puller) tick(now time.Time, anew bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if anew && p.unacked { // NATS says it again
		p.unacked = false
		p.later(func() { p.report(acking, nil) })
	}
	interval := renewal(p.source.AckWait)
	p.renew(now, interval, anew)
	switch {
	case !p.open:
		if anew {
			p.hurry()
		}
	case !p.alarm.doubtAt.IsZero() && now.After(p.alarm.doubtAt):
		p.alarm.doubtAt, p.asking.refusals.doubted = time.Time{}, true
		p.look(0)
	case anew:
		// NATS has forgotten who asked.
		p.asking.outstanding, p.alarm.seen = 0, now
		p.ask()
	case p.asking.outstanding > 0 && now.Sub(p.alarm.seen) > silence && p.o.Link.Up():
		p.alarm.seen = now
		p.unheard()
	default:
		p.ask() // again, if it could not be sent
	}
	p.watchBacklog(now)
	return interval
}

// look finds the consumer anew after a pause. p.mu is held.
func (p *Puller) look(pause time.Duration) {
	p.open, p.asking.outstanding = false, 0
	p.later(func() {
		for failed := 1; p.sleep(pause) && !p.find(); failed++ {
			pause = backoff(failed)
		}
	})
}

// rest asks for nothing for a while. p.mu is held.
func (p *Puller) rest(pause time.Duration) {
	p.open = false
	p.later(func() {
		if p.sleep(pause) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.open, p.alarm.seen = true, time.Now()
			p.ask()
		}
	})
}

// later does something that may take long. p.mu is held.
func (p *Puller) later(do func()) {
	if !p.stopping {
		p.chores.Go(do)
	}
}

// hurry ends a pause.
func (p *Puller) hurry() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Puller) sleep(d time.Duration) bool {
	if d <= 0 {
		return p.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.wake:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *Puller) find() bool {
	source, err := p.o.Open(p.ctx)
	p.mu.Lock()
	stopping := p.stopping
	p.mu.Unlock()
	if stopping {
		return true
	}
	p.report(searching, err)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.source, p.open, p.alarm.seen, p.alarm.doubtAt = source, true, now, time.Time{}
	if p.asking.refusals.count > 0 && !p.asking.refusals.doubted {
		p.alarm.doubtAt = now.Add(doubt)
	}
	p.asking.request.limit(source)
	p.ask()
	return true
}

// received takes what comes to the inbox.
func (p *Puller) received(msg *nats.Msg) {
	if len(msg.Data) == 0 && msg.Header != nil {
		if status := msg.Header.Get("Status"); status != "" {
			p.status(status, msg)
			return
		}
	}
	meta, ok := ParseMeta(msg.Reply)
	if !ok {
		return
	}
	now := time.Now()
	m := &Message{Msg: msg, Meta: meta, puller: p, reply: msg.Reply, delivered: meta.Delivered, renewed: now}
	p.mu.Lock()
	p.alarm.seen, p.asking.request.came = now, now
	if p.asking.outstanding > 0 {
		p.asking.outstanding--
	}
	p.asking.refusals = refusals{}
	if meta.Delivered == 1 {
		p.alarm.watch.progress(now)
	}
	anew := p.hold(m)
	p.mu.Unlock()
	p.answered()
	if anew {
		p.o.Deliver(m)
	}
}
