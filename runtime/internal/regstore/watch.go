package regstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bucket"
)

const (
	// idleHeartbeat is how often NATS says that there is nothing new, and
	// silence is after how long without either the consumer is gone.
	idleHeartbeat = 5 * time.Second
	silence       = 3 * idleHeartbeat
	// inactive is after how long NATS removes the consumer of a watcher that is
	// gone.
	inactive = 30 * time.Second

	// watchBuffer holds the records of a normal registry, so that NATS is not
	// told to wait.
	watchBuffer = 16 << 10

	headerStatus  = "Status"
	statusControl = "100"
	headerLast    = "Nats-Last-Consumer"
	headerStalled = "Nats-Consumer-Stalled"
)

var (
	errGap    = errors.New("a record of the registry was lost on the way")
	errSilent = errors.New("NATS does not say any more what is in the registry")
)

// Handler is told what a bucket holds. Begin comes first, then what there is,
// then End, and then what changes.
type Handler interface {
	Begin(bucket int64)
	Record(key string, revision uint64, data []byte)
	Removed(key string, revision uint64)
	End()
}

// Watch tells h what the bucket holds under the keys that match, until ctx ends
// or something is lost, which is when it returns an error: begin again then, and
// all is there again. It leaves nothing behind but a consumer that NATS removes
// by itself.
func (b *Bucket) Watch(ctx context.Context, keys string, h Handler) error {
	b.ForgetStream() // it may be another one by now
	if _, err := b.Open(ctx); err != nil {
		return err
	}
	w := &watch{bucket: b, handler: h, messages: make(chan *nats.Msg, watchBuffer)}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.ChanSubscribe(inbox, w.messages)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
	consumer, created, err := b.PushConsumer(ctx, &jetstream.ConsumerConfig{
		DeliverSubject:    inbox,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject:     b.Prefix() + keys,
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		IdleHeartbeat:     idleHeartbeat,
		FlowControl:       true,
		InactiveThreshold: inactive,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	w.initial = info.NumPending + info.Delivered.Consumer
	h.Begin(created.UnixMicro())
	if w.initial == 0 {
		w.listed = true
		h.End()
	}
	return w.run(ctx)
}

// watch is one consumer.
type watch struct {
	bucket   *Bucket
	handler  Handler
	messages chan *nats.Msg
	initial  uint64 // how many there were at first
	received uint64
	listed   bool
}

func (w *watch) run(ctx context.Context) error {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return errSilent
		case msg := <-w.messages:
			if err := w.message(msg); err != nil {
				return err
			}
			timer.Reset(silence)
		}
	}
}

func (w *watch) message(msg *nats.Msg) error {
	if len(msg.Data) == 0 && msg.Header.Get(headerStatus) == statusControl {
		return w.control(msg)
	}
	key, ok := strings.CutPrefix(msg.Subject, w.bucket.Prefix())
	meta, err := msg.Metadata()
	if err != nil || !ok {
		return nil //nolint:nilerr // not from JetStream: somebody sends to our inbox
	}
	if w.received++; meta.Sequence.Consumer != w.received {
		return errGap
	}
	if bucket.EntryOf(meta.Sequence.Stream, msg.Header, msg.Data).Absent {
		w.handler.Removed(key, meta.Sequence.Stream)
	} else {
		w.handler.Record(key, meta.Sequence.Stream, msg.Data)
	}
	if !w.listed && (meta.NumPending == 0 || w.received >= w.initial) {
		w.listed = true
		w.handler.End()
	}
	return nil
}

// control takes what NATS says of the consumer itself: what it has sent last,
// and whether it waits to hear that all before this has been handled.
func (w *watch) control(msg *nats.Msg) error {
	if last := msg.Header.Get(headerLast); last != "" && last != strconv.FormatUint(w.received, 10) {
		return errGap
	}
	reply := msg.Reply
	if reply == "" {
		reply = msg.Header.Get(headerStalled)
	}
	if reply != "" {
		_ = w.bucket.nc.Publish(reply, nil) // asked again
	}
	return nil
}
