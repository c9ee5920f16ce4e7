package aegis

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// causes are why a part that takes messages from several consumers cannot work:
// it can when all of them can. The first cause is told until it is gone, so that
// one reason which all of them have makes one line.
type causes struct {
	part *part

	mu   sync.Mutex
	errs map[string]error // by consumer
	told string           // whose cause was told last
}

func (c *causes) fails(consumer string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errs == nil {
		c.errs = make(map[string]error)
	}
	c.errs[consumer] = err
	c.tell(consumer)
}

func (c *causes) works(consumer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.errs, consumer)
	if len(c.errs) == 0 {
		c.part.works()
		return
	}
	c.tell("")
}

// failed reports whether a consumer has a cause.
func (c *causes) failed(consumer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errs[consumer] != nil
}

// tell tells the cause that was told before, if there still is one; c.mu is held.
func (c *causes) tell(latest string) {
	if c.errs[c.told] == nil {
		c.told = cmp.Or(latest, slices.Sorted(maps.Keys(c.errs))[0])
	} else if latest != c.told {
		return
	}
	c.part.fails(c.errs[c.told])
}

// pulling are the options of a puller whose problems are causes.
func (c *causes) pulling(conn *Conn, stream, consumer string) pull.Options {
	return pull.Options{
		NATS: conn.nc, Link: conn.bus.Link, Denials: conn.bus.Denials,
		Send: func(subject string, data []byte) error { return conn.bus.Outbox.Send(subject, nil, data) },
		Backlog: func(ctx context.Context) (pull.Backlog, error) {
			b, err := conn.stores.Backlog(ctx, stream, consumer)
			return pull.Backlog(b), err
		},
		Problem: func(err error) { c.fails(consumer, err) },
		Works:   func() { c.works(consumer) },
	}
}

// stopPulling stops pullers, all at once.
func stopPulling(ctx context.Context, pullers []*pull.Puller) {
	var stopping sync.WaitGroup
	for _, p := range pullers {
		stopping.Go(func() { p.Stop(ctx) })
	}
	stopping.Wait()
}

// sourceOf is the consumer as a puller sees it.
func sourceOf(conn *Conn, c stores.Consumer) pull.Source {
	return pull.Source{
		Name:    "the consumer " + c.Name + " of the stream " + c.Stream,
		Subject: conn.stores.Next(c.Stream, c.Name), AckWait: c.AckWait,
		MaxBatch: c.MaxBatch, MaxExpires: c.MaxExpires, MaxWaiting: c.MaxWaiting,
	}
}
