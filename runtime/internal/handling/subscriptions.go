package handling

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// Subscriptions are the subscriptions that deliver into the queue of a pool. They are
// used by one goroutine at a time: that which starts the server, then that which stops
// it.
type Subscriptions struct {
	nc    *nats.Conn
	queue chan *nats.Msg
	all   []*nats.Subscription
}

// NewSubscriptions makes the list for a pool.
func NewSubscriptions(nc *nats.Conn, pool *Pool) *Subscriptions {
	return &Subscriptions{nc: nc, queue: pool.Queue()}
}

// Subscribe has the pool serve the messages of a subject, as a member of a queue group
// unless queue is "".
func (s *Subscriptions) Subscribe(subject, queue string) (*nats.Subscription, error) {
	sub, err := s.nc.ChanQueueSubscribe(subject, queue, s.queue)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", subject, err)
	}
	s.all = append(s.all, sub)
	return sub, nil
}

// Adopt has Drain drain these subscriptions as well.
func (s *Subscriptions) Adopt(subs []*nats.Subscription) { s.all = append(s.all, subs...) }

// Drain ends all subscriptions, and returns when nothing can be queued any more.
// nats.go still queues what NATS has sent before it knew of the end. Drain waits for
// that until ctx ends or the connection is closed.
func (s *Subscriptions) Drain(ctx context.Context, connectionClosed <-chan struct{}) {
	closed := make(chan struct{}, len(s.all))
	draining, connected := 0, s.nc.IsConnected()
	for _, sub := range s.all {
		// nats.go may call the handler twice, and does so with its connection locked: it
		// must never block.
		var once sync.Once
		done := func(string) { once.Do(func() { closed <- struct{}{} }) }
		sub.SetClosedHandler(done)
		if connected && sub.Drain() == nil { // else there is nothing to wait for
			draining++
			if !sub.IsValid() { // it was withdrawn before
				done("")
			}
		}
	}
	awaitAll(ctx, connectionClosed, closed, draining)
	for _, sub := range s.all {
		if sub.IsValid() {
			_ = sub.Unsubscribe() // what matters is that nats.go lets go of the queue, which it does first
		}
	}
}

// awaitAll takes n values from closed.
func awaitAll(ctx context.Context, connectionClosed, closed <-chan struct{}, n int) {
	for range n {
		select {
		case <-closed:
		case <-connectionClosed:
			return
		case <-ctx.Done():
			return
		}
	}
}
