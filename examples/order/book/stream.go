package book

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// streamName is of the stream that holds the book.
	streamName = "ORDERS"
	// readBatch is how many messages are asked for at once.
	readBatch = 1000
	// readerLife is for how long NATS keeps a reader that nobody uses.
	readerLife = 10 * time.Second
)

// openStream returns the stream, and makes it if it is not there, on so many NATS servers; one that
// is on fewer gets as many. An operator may change what does not take orders out of it.
func openStream(ctx context.Context, js jetstream.JetStream, servers int) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        streamName,
			Description: "the order book: one message for each accepted order, one for each term of its leader",
			Subjects:    []string{subjectBook, subjectTerm},
			Discard:     jetstream.DiscardNew,
			DenyDelete:  true,
			DenyPurge:   true,
			Replicas:    max(servers, 1),
		})
	}
	if err == nil && stream.CachedInfo().Config.Replicas < servers {
		config := stream.CachedInfo().Config
		config.Replicas = servers
		stream, err = js.UpdateStream(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", streamName, err)
	}
	return stream, checkStream(stream.CachedInfo().Config)
}

// checkStream refuses a stream that could lose orders.
func checkStream(c jetstream.StreamConfig) error {
	var wrong []error
	require := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("the stream %s needs %s", streamName, what))
		}
	}
	require(slices.Contains(c.Subjects, subjectBook) && slices.Contains(c.Subjects, subjectTerm),
		"the subjects "+subjectBook+" and "+subjectTerm)
	require(c.Retention == jetstream.LimitsPolicy, "the retention limits")
	require(c.Discard == jetstream.DiscardNew, "to discard new messages when it is full, and not old ones")
	require(c.MaxAge == 0, "to have no max age")
	require(c.DenyDelete && c.DenyPurge, "to deny deletion and purge")
	return errors.Join(wrong...)
}

// readStream gives each message from a sequence up to another to visit.
func readStream(ctx context.Context, stream jetstream.Stream, from, to uint64, visit func(jetstream.Msg) error) error {
	reader, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: readerLife,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("read the stream %s: %w", streamName, err)
	}
	for next := from; next <= to; {
		batch, err := reader.Fetch(int(min(to-next+1, readBatch)), jetstream.FetchContext(ctx))
		if err != nil {
			return fmt.Errorf("read the stream %s: %w", streamName, err)
		}
		for msg := range batch.Messages() {
			if err := visit(msg); err != nil {
				return err
			}
			next++
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return fmt.Errorf("read the stream %s: %w", streamName, err)
		}
	}
	return nil
}
