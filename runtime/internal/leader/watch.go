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
	watchRetry = 250 * time.Millisecond
	// deniedRetry is how soon it is tried again where this user may not watch.
	deniedRetry = 30 * time.Second
)

// watcher follows the records of all groups of this process with one consumer.
// What it reports can be late or, after a bucket was deleted, missing: the
// candidates read by themselves once per lease, so it only makes them faster.
type watcher struct {
	records *records
	warn    func(string)
	filter  []string // subjects
	report  func(id string, e election.Entry)

	mu      sync.Mutex
	created int64
	entries map[string]election.Entry // the last ones, for candidates that begin to watch later
	told    map[string]bool           // who has begun to watch
	stop    context.CancelFunc
	running sync.WaitGroup
}

// follow watches the bucket of this creation time, and tells a candidate that
// begins to watch what is known already. One that asks again has read something
// else than it was told: a purged key, say, of which no watch hears. What is
// known is worth nothing then.
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

// renew starts over: after a reconnect the consumer may be gone.
func (w *watcher) renew(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		w.restart(ctx, w.created)
	}
}

func (w *watcher) restart(ctx context.Context, created int64) {
	if w.stop != nil {
		w.stop()
	}
	w.created = created
	w.entries = make(map[string]election.Entry)
	ctx, w.stop = context.WithCancel(ctx)
	w.running.Go(func() { w.run(ctx, created) })
}

func (w *watcher) close() {
	w.mu.Lock()
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// run consumes until ctx ends.
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

func (w *watcher) message(ctx context.Context, created int64, msg jetstream.Msg) {
	id, keyCreated, ok := w.records.split(msg.Subject())
	meta, err := msg.Metadata()
	if !ok || err != nil || keyCreated != created {
		return // of another bucket, or not ours
	}
	e := entryOf(created, bucket.EntryOf(meta.Sequence.Stream, msg.Headers(), msg.Data()))
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return // replaced by now
	}
	w.entries[id] = e
	w.report(id, e)
}
