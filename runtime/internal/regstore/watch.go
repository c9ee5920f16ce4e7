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
	// idleHeartbeat is how often NATS says that there are no new messages. After silence
	// without a message or a heartbeat the consumer counts as gone.
	idleHeartbeat = 5 * time.Second
	silence       = 3 * idleHeartbeat
	// inactive is the time after which NATS removes a consumer whose watcher is gone.
	inactive = 30 * time.Second

	// watchBuffer has room for the records of a usual registry, so that NATS need not
	// wait while it lists them.
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

// Handler is told what a bucket has: first Begin, then Record for each key that there is,
// then End, and after that each change as it comes. All calls come from one goroutine.
type Handler interface {
	// Begin names the bucket by the time when it was made, in microseconds.
	Begin(bucket int64)
	// Record is called for the value of a key, and Removed for a key that was deleted.
	Record(key string, revision uint64, data []byte)
	Removed(key string, revision uint64)
	// End follows the last key that there was at first.
	End()
}

// Watch tells h what the bucket has under the keys that match, until ctx ends or a message
// is lost. It returns an error in both cases. Another Watch lists all keys again. Watch
// leaves nothing behind but a consumer that NATS removes by itself.
func (b *Bucket) Watch(ctx context.Context, keys string, h Handler) error {
	b.ForgetStream() // another one may be in its place by now
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

// watch reads one consumer. One goroutine uses it.
type watch struct {
	bucket   *Bucket
	handler  Handler
	messages chan *nats.Msg // filled by the subscription; never closed
	initial  uint64         // how many keys there were at first
	received uint64         // how many messages have come
	listed   bool           // End was called
}

// run reads messages until ctx ends, one is missing, or none comes any more.
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

// message handles one message. It returns an error if messages before it are missing.
func (w *watch) message(msg *nats.Msg) error {
	if len(msg.Data) == 0 && msg.Header.Get(headerStatus) == statusControl {
		return w.control(msg)
	}
	key, ok := strings.CutPrefix(msg.Subject, w.bucket.Prefix())
	meta, err := msg.Metadata()
	if err != nil || !ok {
		return nil //nolint:nilerr // it is not from JetStream: somebody else sends to the inbox
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

// control handles a message about the consumer itself: it names the last message that
// NATS has sent, and may ask for a reply once all messages before it were handled.
func (w *watch) control(msg *nats.Msg) error {
	if last := msg.Header.Get(headerLast); last != "" && last != strconv.FormatUint(w.received, 10) {
		return errGap
	}
	reply := msg.Reply
	if reply == "" {
		reply = msg.Header.Get(headerStalled)
	}
	if reply != "" {
		_ = w.bucket.nc.Publish(reply, nil) // NATS asks again if the reply is lost
	}
	return nil
}
