package leader

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// watchRetry is the pause before a consumer is made in place of one that is gone.
	watchRetry = 250 * time.Millisecond
	// deniedRetry is the pause where this user may not make a consumer.
	deniedRetry = 30 * time.Second
)

// watcher follows the records of all groups of this process with one consumer. A report
// can be late, or missing after the bucket was deleted: candidates read the record by
// themselves once per lease, so that reports only make them faster. A watcher is safe for
// concurrent use.
type watcher struct {
	records *records
	warn    func(string)
	filter  []string // the subjects of the records
	report  func(id string, e election.Entry)

	mu      sync.Mutex                // guards created, entries, told and stop
	created int64                     // of the bucket that is watched
	entries map[string]election.Entry // the last entries, for candidates that begin to watch later
	told    map[string]bool           // the candidates that have begun to watch
	stop    context.CancelFunc        // ends the consumer; nil before the first one
	running sync.WaitGroup
}

// follow watches the bucket that was created then, and reports to a candidate that begins
// to watch the entry that is known already. A candidate that asks again has read another
// entry than was reported, such as that of a purged key, of which no consumer hears: the
// known entries are worth nothing then.
func (w *watcher) follow(ctx context.Context, id string, created int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil && w.created == created && !w.told[id] {
		w.told[id] = true
		if e, ok := w.entries[id]; ok {
			w.report(id, e)
		}
		return
	}
	w.restart(ctx, created)
	w.told = map[string]bool{id: true}
}

// renew makes the consumer anew, if there was one: after a reconnect it may be gone.
func (w *watcher) renew(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		w.restart(ctx, w.created)
	}
}

// restart replaces the consumer; w.mu is held.
func (w *watcher) restart(ctx context.Context, created int64) {
	if w.stop != nil {
		w.stop()
	}
	w.created = created
	w.entries = make(map[string]election.Entry)
	ctx, w.stop = context.WithCancel(ctx)
	w.running.Go(func() { w.run(ctx, created) })
}

// close ends the consumer, and returns when it has ended.
func (w *watcher) close() {
	w.mu.Lock()
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// run consumes until ctx ends, with one consumer after another.
func (w *watcher) run(ctx context.Context, created int64) {
	for ctx.Err() == nil {
		pause := watchRetry
		consumer, err := w.records.bucket.OrderedConsumer(ctx, &jetstream.OrderedConsumerConfig{
			FilterSubjects: w.filter,
			DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
		})
		if errors.Is(err, stores.ErrPermission) {
			pause = deniedRetry
			w.warn("this user may not make consumers of the stream " + w.records.bucket.StreamName() +
				", so that it is noticed late that another instance leads; see the least permissions in docs/protocol.md")
		}
		if err == nil {
			var consuming jetstream.ConsumeContext
			consuming, err = consumer.Consume(func(msg jetstream.Msg) { w.message(ctx, created, msg) })
			if err == nil {
				select {
				case <-ctx.Done():
				case <-consuming.Closed():
				}
				consuming.Stop()
				<-consuming.Closed()
			}
		}
		bus.Wait(ctx, pause)
	}
}

// message reports the entry that a message of the consumer has.
func (w *watcher) message(ctx context.Context, created int64, msg jetstream.Msg) {
	id, keyCreated, ok := w.records.split(msg.Subject())
	meta, err := msg.Metadata()
	if !ok || err != nil || keyCreated != created {
		return // of another bucket, or of another program
	}
	e := entryOf(created, bucket.EntryOf(meta.Sequence.Stream, msg.Headers(), msg.Data()))
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return // another consumer is in its place by now
	}
	w.entries[id] = e
	w.report(id, e)
}
