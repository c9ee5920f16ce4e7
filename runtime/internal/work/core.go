package work

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Core handles the messages of a subject of core NATS as they come. Messages for which
// the handlers are too slow wait in nats.go, which drops what exceeds its limits
// (500,000 messages or 64 MB) and says so in the log. The methods that start and stop it
// are called by one goroutine after the other.
type Core struct {
	NATS    *nats.Conn
	Subject string
	Group   string // the queue group; "" if each subscriber gets every message
	// Concurrency is how many handlers run at once. If it is 1, they run in the order of
	// the messages.
	Concurrency int
	Handle      func(*nats.Msg)

	sub     *nats.Subscription
	closed  chan struct{}  // closed by nats.go when no message comes any more
	slots   chan struct{}  // full while all handlers are busy; nil if one runs at a time
	busy    sync.WaitGroup // handlers with a goroutine of their own
	running atomic.Int64
}

// Start subscribes.
func (c *Core) Start() error {
	if c.Concurrency > 1 {
		c.slots = make(chan struct{}, c.Concurrency)
	}
	var err error
	if c.Group == "" {
		c.sub, err = c.NATS.Subscribe(c.Subject, c.received)
	} else {
		c.sub, err = c.NATS.QueueSubscribe(c.Subject, c.Group, c.received)
	}
	if err != nil {
		return err
	}
	c.closed = make(chan struct{})
	var once sync.Once // nats.go may call it twice
	c.sub.SetClosedHandler(func(string) { once.Do(func() { close(c.closed) }) })
	return nil
}

// received is called by one goroutine at a time.
func (c *Core) received(msg *nats.Msg) {
	if c.slots == nil {
		c.running.Add(1)
		defer c.running.Add(-1)
		c.Handle(msg)
		return
	}
	c.slots <- struct{}{}
	c.running.Add(1)
	c.busy.Go(func() {
		defer func() { c.running.Add(-1); <-c.slots }()
		c.Handle(msg)
	})
}

// Stop has NATS send no more; the messages that NATS has sent are handled.
func (c *Core) Stop() {
	if c.sub == nil {
		return
	}
	if !c.NATS.IsConnected() || c.sub.Drain() != nil {
		_ = c.sub.Unsubscribe() // fails only if it is gone already
	}
}

// Wait returns when no handler runs any more. It follows Stop.
func (c *Core) Wait() {
	if c.sub != nil {
		<-c.closed
		c.busy.Wait()
	}
}

// Running returns how many handlers run.
func (c *Core) Running() int { return int(c.running.Load()) }
