package work

import (
	"context"
	"sync"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// MaxUnacknowledged is how many messages of one consumer may be under way or wait for
// their next delivery, in all instances together.
const MaxUnacknowledged = 10_000

// Pulling returns the options of a puller, without Open and Deliver. Its problems are
// causes under the name of the consumer. InOrder says that the consumer has one message
// under way at a time on purpose, so that its backlog tells nothing.
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

// Source returns a consumer as a puller sees it.
func Source(s *stores.Stores, c stores.Consumer) pull.Source {
	return pull.Source{
		Name:    "the consumer " + c.Name + " of the stream " + c.Stream,
		Subject: s.Next(c.Stream, c.Name), AckWait: c.AckWait,
		MaxBatch: c.MaxBatch, MaxExpires: c.MaxExpires, MaxWaiting: c.MaxWaiting,
	}
}

// StopPulling stops all pullers at the same time.
func StopPulling(ctx context.Context, pullers []*pull.Puller) {
	var stopping sync.WaitGroup
	for _, p := range pullers {
		stopping.Go(func() { p.Stop(ctx) })
	}
	stopping.Wait()
}
