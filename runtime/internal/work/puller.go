package work

import (
	"context"
	"sync"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// MaxUnacknowledged is how many messages of one consumer may be under way, or
// wait for being delivered again, in all instances together.
const MaxUnacknowledged = 10_000

// Pulling are the options of a puller whose problems are causes, without Open and
// Deliver. InOrder says that one message at a time is how it is meant: then nobody looks
// whether all that may be under way is.
func Pulling(b *bus.Bus, s *stores.Stores, causes *parts.Causes, stream, consumer string, inOrder bool) pull.Options {
	options := pull.Options{
		NATS: b.NATS, Link: b.Link, Denials: b.Denials,
		Send:    func(subject string, data []byte) error { return b.Outbox.Send(subject, nil, data) },
		Problem: func(err error) { causes.Fails(consumer, err) },
		Works:   func() { causes.Works(consumer) },
	}
	if !inOrder {
		options.Backlog = func(ctx context.Context) (pull.Backlog, error) {
			b, err := s.Backlog(ctx, stream, consumer)
			return pull.Backlog(b), err
		}
	}
	return options
}

// Source is a consumer as a puller sees it.
func Source(s *stores.Stores, c stores.Consumer) pull.Source {
	return pull.Source{
		Name:    "the consumer " + c.Name + " of the stream " + c.Stream,
		Subject: s.Next(c.Stream, c.Name), AckWait: c.AckWait,
		MaxBatch: c.MaxBatch, MaxExpires: c.MaxExpires, MaxWaiting: c.MaxWaiting,
	}
}

// StopPulling stops pullers, all at once.
func StopPulling(ctx context.Context, pullers []*pull.Puller) {
	var stopping sync.WaitGroup
	for _, p := range pullers {
		stopping.Go(func() { p.Stop(ctx) })
	}
	stopping.Wait()
}
