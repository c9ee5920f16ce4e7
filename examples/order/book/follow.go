package book

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// followAgain is the pause after the stream could not be followed.
const followAgain = time.Second

// Follow keeps this process's copy of the book up to date until ctx ends. So the next
// leader has the last messages to read and not the whole book, for which its callers wait.
// Without Follow the copy is brought up to date when it is needed.
func (s *Service) Follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.replica.Load().follow(ctx)
		if ctx.Err() != nil {
			return
		}
		slog.WarnContext(ctx, "the copy of the book falls behind", "error", err)
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
		}
	}
}

// follow takes each message of the stream as it comes, until ctx ends.
func (r *replica) follow(ctx context.Context) error {
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	consumer, err := r.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.known().at + 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		if err := r.apply(msg); err != nil {
			return err
		}
	}
}
