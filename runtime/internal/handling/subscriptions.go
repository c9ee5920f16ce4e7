package handling

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
)

// Subscriptions are the subscriptions that deliver into the queue of a pool. It is safe for
// concurrent use.
type Subscriptions struct {
	nc    *nats.Conn
	queue chan *nats.Msg

	mu   sync.Mutex // guards the fields below
	all  []*nats.Subscription
	over bool // Drain was called
}

// NewSubscriptions makes the list for a pool.
func NewSubscriptions(nc *nats.Conn, pool *Pool) *Subscriptions {
	return &Subscriptions{nc: nc, queue: pool.Queue()}
}

// Subscribe has the pool serve the messages of a subject, as a member of a queue group
// unless queue is "".
func (s *Subscriptions) Subscribe(subject, queue string) (*nats.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscribe(subject, queue)
}

// subscribe is called with s.mu held.
func (s *Subscriptions) subscribe(subject, queue string) (*nats.Subscription, error) {
	sub, err := s.nc.ChanQueueSubscribe(subject, queue, s.queue)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", subject, err)
	}
	s.all = append(s.all, sub)
	return sub, nil
}

// Renew puts a new subscription in the place of one that NATS has refused. It returns nil if
// there is none by now, as it was withdrawn or the server stops.
func (s *Subscriptions) Renew(subject, queue string) (*nats.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.all, func(sub *nats.Subscription) bool { return sub.Subject == subject && sub.IsValid() })
	if i < 0 || s.over {
		return nil, nil //nolint:nilnil // see above
	}
	old := s.all[i]
	s.all = slices.Delete(s.all, i, i+1)
	_ = old.Unsubscribe() // fails only if it is gone already
	return s.subscribe(subject, queue)
}

// Adopt has Drain drain these subscriptions as well.
func (s *Subscriptions) Adopt(subs []*nats.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, subs...)
}

// Drain ends all subscriptions, and returns when nothing can be queued any more.
// nats.go still queues what NATS has sent before it knew of the end. Drain waits for
// that until ctx ends or the connection is closed.
func (s *Subscriptions) Drain(ctx context.Context, connectionClosed <-chan struct{}) {
	s.mu.Lock()
	s.over = true // so that the list changes no more
	s.mu.Unlock()
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
