// Package pull takes messages from a consumer of JetStream. A puller never takes more
// messages than there is room for, keeps NATS from delivering a message again while it is
// held (renew.go, in a goroutine that never waits), and goes on after any loss of the
// connection or the consumer.
//
// nats.go has pull subscriptions as well. They hold messages that their user does not
// see, and that NATS delivers again while they wait there.
package pull

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/link"
)

const (
	// tick is how often a puller renews and asks, and longestTick how often it does at
	// least, where the ack wait leaves it the time.
	tick        = 250 * time.Millisecond
	longestTick = 2 * time.Second
	// heartbeat is how often JetStream gives a sign of life for a request.
	heartbeat = 2 * time.Second
	// expires is how long a request waits for messages.
	expires = 30 * time.Second
	// silence is how long a puller waits for an answer to a request.
	silence = 3 * heartbeat
	// doubt is how soon after a refusal a puller looks for the consumer a second time: a
	// consumer that is just being deleted may still be found, and swallow a request.
	doubt = 500 * time.Millisecond
)

// Source is a consumer as a puller sees it.
type Source struct {
	Name    string        // as people know the consumer: "the consumer c of the stream s"
	Subject string        // of requests for messages
	AckWait time.Duration // of the consumer as it is

	// The limits of the consumer: messages of one request, how long a request may wait,
	// and how many requests may wait; 0: no limit.
	MaxBatch   int
	MaxExpires time.Duration
	MaxWaiting int
}

// Options are the options of a Puller.
type Options struct {
	NATS    *nats.Conn
	Link    *link.Link       // of that connection
	Denials *denials.Denials // of that connection
	// Send sends an acknowledgement, at once or when the connection is back.
	Send func(subject string, data []byte) error
	// Open finds the consumer, or makes it. It is called again whenever the consumer may
	// be gone. It may take its time: held messages are renewed meanwhile.
	Open func(context.Context) (Source, error)
	// Backlog asks how many messages of the consumer are under way. It is called while no
	// new messages come; nil: never.
	Backlog func(context.Context) (Backlog, error)
	// Deliver takes a message. It is called by one goroutine at a time, and must
	// not wait.
	Deliver func(*Message)
	// Problem is told why no messages come, and Works that they can come (again). They
	// are not called at the same time, and must not wait.
	Problem func(error)
	Works   func()
}

// Puller takes messages from one consumer. It is safe for concurrent use.
type Puller struct {
	o        Options
	ctx      context.Context //nolint:containedctx // the life of its goroutines
	cancel   context.CancelFunc
	ended    chan struct{}  // closed by the goroutine run when that ends
	chores   sync.WaitGroup // goroutines that may have to wait for NATS
	inbox    inbox
	wake     chan struct{} // a value ends a pause of a chore; never closed
	troubles troubles

	mu       sync.Mutex // guards what follows
	source   Source
	open     bool // messages may be asked for
	stopping bool
	window   int // messages that may be held or asked for
	request  request
	refusals refusals
	doubtAt  time.Time // when to look for the consumer in any case; zero: never
	watch    watch
	unacked  bool // NATS refuses acknowledgements
	held     heldList
	received uint64 // messages that have come
}

// inbox is where messages come from JetStream.
type inbox struct {
	sub     *nats.Subscription
	silent  chan struct{} // closed by nats.go when nothing is delivered any more
	unwatch func()        // ends watching denials
}

// Start starts a puller. No messages come before SetWindow. Stop and Close follow.
func Start(o Options) (*Puller, error) {
	p := &Puller{o: o, ended: make(chan struct{}), wake: make(chan struct{}, 1)}
	p.inbox.silent, p.held.bySequence = make(chan struct{}), make(map[uint64]*Message)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	subject := o.NATS.NewInbox()
	p.request = newRequest(subject)
	var err error
	if p.inbox.sub, err = o.NATS.Subscribe(subject+".*", p.receive); err != nil {
		p.cancel()
		return nil, err
	}
	p.inbox.sub.SetClosedHandler(func(string) { close(p.inbox.silent) })
	// How many messages are pending is bounded by how many were asked for.
	if err := p.inbox.sub.SetPendingLimits(-1, -1); err != nil {
		p.cancel()
		_ = p.inbox.sub.Unsubscribe() // fails only if it is gone already
		return nil, err
	}
	returns := o.Link.Returns()
	p.inbox.unwatch = o.Denials.Watch(p.concerns, p.denied)
	p.mu.Lock()
	p.watch.progress(time.Now())
	p.look(0)
	p.mu.Unlock()
	go p.run(returns)
	return p, nil
}

// SetWindow says how many messages may be held or asked for.
func (p *Puller) SetWindow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window = n
	p.ask()
}

// Held returns how many messages are held.
func (p *Puller) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.count
}

// Received returns how many messages have come so far.
func (p *Puller) Received() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.received
}

// Stop asks for no more messages, and returns when the messages that were on their way
// are delivered, or ctx has ended; Deliver is not called after that. Held messages are
// renewed until Close.
func (p *Puller) Stop(ctx context.Context) {
	p.mu.Lock()
	again := p.stopping
	p.stopping = true
	p.mu.Unlock()
	if !again && (!p.o.NATS.IsConnected() || p.inbox.sub.Drain() != nil) {
		_ = p.inbox.sub.Unsubscribe() // fails only if it is gone already
	}
	select {
	case <-p.inbox.silent:
		return
	case <-ctx.Done():
	}
	_ = p.inbox.sub.Unsubscribe() // as above
	<-p.inbox.silent              // a message is being delivered just now, and Deliver does not wait
}

// Close ends the goroutines. Messages that are still held are delivered again when their
// ack wait is over.
func (p *Puller) Close() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	p.cancel()
	<-p.ended
	p.inbox.unwatch()
	p.chores.Wait()
	_ = p.inbox.sub.Unsubscribe() // fails only if it is gone already
}

// look finds the consumer anew after a pause, and until that succeeds asks for nothing.
// p.mu is held.
func (p *Puller) look(pause time.Duration) {
	p.open, p.request.outstanding = false, 0
	p.later(func() {
		for failed := 1; p.sleep(pause) && !p.find(); failed++ {
			pause = backoff(failed)
		}
	})
}

// rest asks for nothing during a pause. p.mu is held.
func (p *Puller) rest(pause time.Duration) {
	p.open = false
	p.later(func() {
		if p.sleep(pause) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.open, p.request.seen = true, time.Now()
			p.ask()
		}
	})
}

// later runs do in a goroutine that Close waits for. p.mu is held.
func (p *Puller) later(do func()) {
	if !p.stopping {
		p.chores.Go(do)
	}
}

// hurry ends a pause of a chore.
func (p *Puller) hurry() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sleep returns after a pause, or when it is hurried; false if the puller is closed.
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

// find finds the consumer and begins to ask it. It returns false if that has failed.
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
	p.source, p.open, p.request.seen, p.doubtAt = source, true, now, time.Time{}
	if p.refusals.count > 0 && !p.refusals.doubted {
		p.doubtAt = now.Add(doubt)
	}
	p.request.limit(source)
	p.ask()
	return true
}

// receive takes a message or a status from the inbox.
func (p *Puller) receive(msg *nats.Msg) {
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
	p.request.seen, p.request.came = now, now
	p.received++
	if p.request.outstanding > 0 {
		p.request.outstanding--
	}
	p.refusals = refusals{}
	if meta.Delivered == 1 {
		p.watch.progress(now)
	}
	anew := p.hold(m)
	p.mu.Unlock()
	p.answered()
	if anew {
		p.o.Deliver(m)
	}
}
