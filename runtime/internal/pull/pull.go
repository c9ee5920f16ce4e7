// Package pull takes messages from a consumer of JetStream: never more than
// there is room for, all of them kept from being delivered to somebody else
// while they are held, and whatever becomes of connection and consumer.
//
// nats.go has pull subscriptions as well. They hold messages that nobody sees,
// which are delivered again while they wait there.
package pull

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
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

	minPause = 50 * time.Millisecond
	maxPause = 2 * time.Second
)

// Source is a consumer.
type Source struct {
	Subject string        // where its messages are asked for
	AckWait time.Duration // its own
}

// Options are those of New.
type Options struct {
	NATS *nats.Conn
	// Send sends an acknowledgement, now or when the connection is back.
	Send func(subject string, data []byte) error
	// Open finds the consumer, or makes it. It is called again when there is
	// reason to believe that it is gone.
	Open func(context.Context) (Source, error)
	// Deliver takes a message. It is called by one goroutine at a time, and must
	// not wait.
	Deliver func(*Message)
	// Problem hears why no messages come, and Works that they can again.
	Problem func(error)
	Works   func()
}

// Puller takes messages from one consumer. It is safe for concurrent use.
type Puller struct {
	o      Options
	ctx    context.Context //nolint:containedctx // the life of its goroutine
	cancel context.CancelFunc
	reopen chan struct{}
	ended  chan struct{}
	inbox  string
	sub    *nats.Subscription

	failing atomic.Bool // a problem was told, and nothing has come since

	mu          sync.Mutex
	source      Source
	open        bool
	stopping    bool
	window      int
	outstanding int // asked for and not delivered
	seen        time.Time
	doubtAt     time.Time // when to look again in any case; zero: not
	reconnects  uint64
	head, tail  *Message // what is held, the oldest first
	held        int
}

// Start begins. Nothing comes before SetWindow was called.
func Start(o Options) (*Puller, error) {
	p := &Puller{o: o, reopen: make(chan struct{}, 1), ended: make(chan struct{}), inbox: o.NATS.NewInbox()}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	var err error
	if p.sub, err = o.NATS.Subscribe(p.inbox, p.received); err != nil {
		p.cancel()
		return nil, err
	}
	// What is pending is bounded by what was asked for.
	if err := p.sub.SetPendingLimits(-1, -1); err != nil {
		p.cancel()
		return nil, err
	}
	p.reconnects = o.NATS.Stats().Reconnects
	p.look()
	go p.run()
	return p, nil
}

// SetWindow says how many messages may be held or asked for.
func (p *Puller) SetWindow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window = n
	p.ask()
}

// Held is how many messages are held.
func (p *Puller) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// Stop asks for no more messages, and returns when those that were on their way
// are delivered. What is held stays held until Close.
func (p *Puller) Stop(ctx context.Context) {
	p.mu.Lock()
	if p.stopping {
		p.mu.Unlock()
		return
	}
	p.stopping = true
	p.mu.Unlock()
	closed := make(chan struct{})
	var once sync.Once
	p.sub.SetClosedHandler(func(string) { once.Do(func() { close(closed) }) })
	if !p.o.NATS.IsConnected() || p.sub.Drain() != nil {
		_ = p.sub.Unsubscribe() // fails only if it is gone already
		return
	}
	select {
	case <-closed:
	case <-ctx.Done():
		_ = p.sub.Unsubscribe() // as above
	}
}

// Close ends what Stop left: messages that are still held are delivered again
// when their time is over.
func (p *Puller) Close() {
	p.cancel()
	<-p.ended
	_ = p.sub.Unsubscribe() // fails only if it is gone already
}

// look has the goroutine find the consumer anew.
func (p *Puller) look() {
	select {
	case p.reopen <- struct{}{}:
	default:
	}
}

func (p *Puller) run() {
	defer close(p.ended)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	pause := minPause
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
			p.tick(time.Now())
			continue
		case <-p.reopen:
		}
		if p.find() {
			pause = minPause
			continue
		}
		if !p.sleep(pause) {
			return
		}
		pause = min(2*pause, maxPause)
		p.look()
	}
}

// sleep goes on renewing what is held.
func (p *Puller) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.tick(time.Now())
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *Puller) find() bool {
	p.mu.Lock()
	stopping := p.stopping
	p.open, p.outstanding = false, 0
	p.mu.Unlock()
	if stopping {
		return true
	}
	source, err := p.o.Open(p.ctx)
	if err != nil {
		if p.ctx.Err() == nil {
			p.problem(err)
		}
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source, p.open, p.seen = source, true, time.Now()
	p.ask()
	return true
}

// problem tells why nothing comes.
func (p *Puller) problem(err error) {
	p.failing.Store(true)
	p.o.Problem(err)
}

// answered tells that the consumer answers, if it was told that it does not.
func (p *Puller) answered() {
	if p.failing.CompareAndSwap(true, false) {
		p.o.Works()
	}
}

// tick renews what has been held for long, and looks whether what was asked for
// is still on its way.
func (p *Puller) tick(now time.Time) {
	reconnects := p.o.NATS.Stats().Reconnects
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renew(now)
	switch {
	case !p.open:
	case !p.doubtAt.IsZero() && now.After(p.doubtAt):
		p.doubtAt = time.Time{}
		p.look()
	case reconnects != p.reconnects:
		// NATS has forgotten who asked.
		p.reconnects, p.outstanding, p.seen = reconnects, 0, now
		p.ask()
	case p.outstanding > 0 && now.Sub(p.seen) > silence && p.o.NATS.IsConnected():
		p.seen = now
		p.look()
	default:
		p.ask() // again, if it could not be sent
	}
}

// renew keeps what is held. Giving back what nobody has begun yet would be
// easier on those who wait, but it counts as a delivery.
func (p *Puller) renew(now time.Time) {
	if p.source.AckWait == 0 {
		return
	}
	for m := p.head; m != nil; m = m.next {
		if now.Sub(m.renewed) >= p.source.AckWait/3 {
			m.renewed = now
			_ = p.o.NATS.Publish(m.Reply, inProgress) // the next one may get through
		}
	}
}

var inProgress = []byte("+WPI")

// ask asks for as many messages as there is room for, unless most of that has
// been asked for already. p.mu is held.
func (p *Puller) ask() {
	n := p.window - p.held - p.outstanding
	if !p.open || p.stopping || n <= 0 || p.outstanding > n {
		return
	}
	body := make([]byte, 0, 80)
	body = append(body, `{"batch":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, `,"expires":`...)
	body = strconv.AppendInt(body, int64(expires), 10)
	body = append(body, `,"idle_heartbeat":`...)
	body = strconv.AppendInt(body, int64(heartbeat), 10)
	body = append(body, '}')
	if p.outstanding == 0 {
		p.seen = time.Now()
	}
	if p.o.NATS.PublishRequest(p.source.Subject, p.inbox, body) == nil {
		p.outstanding += n
	}
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
	m := &Message{Msg: msg, Meta: meta, puller: p}
	now := time.Now()
	p.mu.Lock()
	p.seen = now
	if p.outstanding > 0 {
		p.outstanding--
	}
	m.renewed = now
	p.add(m)
	p.mu.Unlock()
	p.answered()
	p.o.Deliver(m)
}

// status takes what JetStream says about a request.
func (p *Puller) status(status string, msg *nats.Msg) {
	if status == "100" || status == "404" || status == "408" {
		p.answered()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = time.Now()
	switch status {
	case "100": // a heartbeat
		return
	case "404", "408":
		p.over(msg)
		p.ask()
		return
	}
	// 503: nobody answers for the consumer. 409: it was deleted, it moved, it has
	// too many requests, or a request is over.
	if left := msg.Header.Get("Nats-Pending-Messages"); left != "" {
		p.over(msg)
		p.ask()
		return
	}
	if p.open {
		p.open, p.outstanding, p.doubtAt = false, 0, time.Now().Add(doubt)
		if text := msg.Header.Get("Description"); text != "Consumer Deleted" && text != "Leadership Change" && status != "503" {
			go p.problem(fmt.Errorf("%w: %s %s", errRefused, status, text))
		}
		p.look()
	}
}

var errRefused = errors.New("JetStream refused to deliver")

// over takes back what a request that has ended was not given.
func (p *Puller) over(msg *nats.Msg) {
	n, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		n = p.outstanding
	}
	p.outstanding = max(0, p.outstanding-n)
}

func (p *Puller) add(m *Message) {
	m.held, m.prev = true, p.tail
	if p.tail != nil {
		p.tail.next = m
	} else {
		p.head = m
	}
	p.tail = m
	p.held++
}

func (p *Puller) remove(m *Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.held {
		p.unlink(m)
		p.ask()
	}
}

// unlink is remove; p.mu is held.
func (p *Puller) unlink(m *Message) {
	m.held = false
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		p.head = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		p.tail = m.prev
	}
	m.prev, m.next = nil, nil
	p.held--
}
