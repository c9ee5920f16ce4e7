package bucket

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// PushConsumer makes a consumer whose messages NATS sends by itself, and returns it with
// the time when the bucket was made that it reads.
func (b *Bucket) PushConsumer(ctx context.Context, cfg *jetstream.ConsumerConfig) (jetstream.PushConsumer, time.Time, error) {
	f, err := b.open(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	ctx, why := b.o.JetStream.Allowed(ctx, "CONSUMER.CREATE."+b.StreamName())
	consumer, err := f.stream.CreatePushConsumer(ctx, *cfg)
	if err = why(err); err != nil {
		return nil, time.Time{}, b.Explain(err)
	}
	return consumer, f.created, nil
}

// OrderedConsumer makes a consumer that nats.go makes anew when it is lost. The error
// wraps [stores.ErrPermission] if this user may not make one.
func (b *Bucket) OrderedConsumer(ctx context.Context, cfg *jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	ctx, why := b.o.JetStream.Allowed(ctx, "CONSUMER.CREATE."+b.StreamName())
	consumer, err := b.js.OrderedConsumer(ctx, b.StreamName(), *cfg)
	return consumer, why(err)
}
