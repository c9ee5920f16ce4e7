package work

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/attempts"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Records stores what is known of the attempts of messages, each in a record of its own:
// how many attempts have begun and failed, and that a message is dead. It is safe for
// concurrent use.
type Records struct {
	RecordsConfig

	blindUntil atomic.Int64 // until when no record is tried to be kept, in ns since 1970
	told       sync.Map     // the codes of problems that were logged
	purges     atomic.Int32 // records that are being removed

	life      context.Context //nolint:containedctx // of the worker that takes the messages
	mu        sync.Mutex      // guards the end of life, after which nothing is added to returning
	halt      context.CancelFunc
	returning sync.WaitGroup // the goroutines of messages on their way back, and of purges
}

// RecordsConfig is the configuration of Records.
type RecordsConfig struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Stream *stores.Stream // of the records
	// Subject returns the subject of the record of a message.
	Subject func(*pull.Message) string
	Most    int // attempts of a message
	// TTL is how long a record is kept; 0: as long as the stream keeps it.
	TTL time.Duration
	// Optional says that the stream is for the records only. If it cannot be made or used,
	// each delivery counts as an attempt.
	Optional bool
	Logger   func() *slog.Logger
}

// NewRecords makes records. End follows.
func NewRecords(c RecordsConfig) *Records {
	r := &Records{RecordsConfig: c}
	r.life, r.halt = context.WithCancel(context.Background())
	return r
}

// AttemptsTTL is how long the record of a command is kept at least. A record outlives the
// pauses between attempts and most times without a worker. When a record is gone, the
// attempts are counted anew.
const AttemptsTTL = 7 * 24 * time.Hour

const (
	// blindFor is how long deliveries count as attempts before Records tries again to
	// keep records.
	blindFor = time.Minute
	// noteTimeout bounds storing that a handler begins. The handler waits for that.
	noteTimeout = 5 * time.Second
	// failureTimeout bounds storing that a handler has failed. If that is in vain, the
	// message is given back all the same, and is a suspect.
	failureTimeout = 30 * time.Second
)

// Look finds out how often a message was worked.
func (a *Records) Look(ctx context.Context, m *pull.Message) (attempts.Try, *status.Status) {
	of := attempts.Message{Sequence: m.Sequence, Stored: m.Time.UnixNano(), Delivered: m.Delivered()}
	if of.Delivered == 1 && a.Most > 1 {
		return attempts.New(of, attempts.Record{}, a.Most), nil
	}
	if a.blind() {
		return attempts.Blind(of, a.Most), nil
	}
	r, err := a.read(ctx, m)
	if err != nil {
		if !a.impossible(err) {
			return attempts.Try{}, err
		}
		return attempts.Blind(of, a.Most), nil
	}
	return attempts.New(of, r, a.Most), nil
}

func (a *Records) read(ctx context.Context, m *pull.Message) (attempts.Record, *status.Status) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := a.Stream.Ensure(ctx, deadline); err != nil {
		return attempts.Record{}, err
	}
	msg, err := a.Stores.Last(ctx, a.Stream.Want.Name, a.Subject(m))
	if err != nil || msg == nil {
		return attempts.Record{}, err
	}
	r, _ := attempts.Parse(msg.Data) // a record that cannot be read is as good as none
	return r, nil
}

// Note stores that the handler is about to begin, if that has to be known. It returns
// false if that cannot be stored: then the handler must not begin.
func (a *Records) Note(ctx context.Context, m *pull.Message, t attempts.Try) bool {
	if !t.Noted() {
		return true
	}
	err := a.write(ctx, m, t.Begun(), time.Now().Add(noteTimeout))
	if err == nil || a.impossible(err) {
		return true
	}
	a.Logger().Warn("aegis: it cannot be stored that an attempt begins; it begins later", "sequence", m.Sequence, "err", err.Text())
	return false
}

// Failed stores that an attempt has failed. It keeps trying while the message is held.
func (a *Records) Failed(ctx context.Context, m *pull.Message, t attempts.Try) {
	if a.blind() {
		return
	}
	deadline := time.Now().Add(failureTimeout)
	for attempt := 1; ; attempt++ {
		err := a.write(ctx, m, t.Failed(), deadline)
		if err == nil || a.impossible(err) {
			return
		}
		if !bus.Sleep(ctx, bus.Pause(attempt), deadline) {
			a.Logger().Warn("aegis: it cannot be stored that an attempt has failed", "sequence", m.Sequence, "err", err.Text())
			return
		}
	}
}

// Dead stores that a message gets no further attempt: it belongs to the dead letters,
// which do not take it yet. If that cannot be stored either, the handler may run again.
func (a *Records) Dead(ctx context.Context, m *pull.Message, t attempts.Try, reason string) {
	if a.blind() {
		return
	}
	err := a.write(ctx, m, t.Dead(reason[:min(len(reason), maxDeadReason)]), time.Now().Add(noteTimeout))
	if err != nil && !a.impossible(err) {
		a.Logger().Warn("aegis: it cannot be stored that a message is dead", "sequence", m.Sequence, "err", err.Text())
	}
}

// maxDeadReason is the length of a reason in a record, in bytes. It keeps records small.
const maxDeadReason = 1 << 10

// GiveBack gives a message back in good order, which costs the message no attempt: another
// worker has time for it, or leads. If that cannot be stored, the message is a suspect.
// Began says whether the handler had begun. When base has ended, there is little time to
// store it.
func (a *Records) GiveBack(base context.Context, m *pull.Message, t attempts.Try, began bool, pause time.Duration) {
	if r, needed := t.GivenBack(began); needed && !a.blind() {
		ctx, cancel := outlive(base)
		defer cancel()
		if err := a.write(ctx, m, r, time.Now().Add(failureTimeout)); err != nil && !a.impossible(err) {
			a.Logger().Warn("aegis: it cannot be stored that a message is given back; it is worked alone the next time", "sequence", m.Sequence, "err", err.Text())
		}
	}
	_ = m.Nak(pause) // if this is lost, the message is delivered again when its ack wait is over
}

// GiveBackTaken is GiveBack for a message whose handler has not begun. There may be many
// of these, so that it does not wait; End does.
func (a *Records) GiveBackTaken(m *pull.Message, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.Err() != nil || a.Most == 1 { // with one attempt only, every handler that begins has a record, so that none is needed here
		_ = m.Nak(pause) // as above
		return
	}
	a.returning.Go(func() {
		ctx, cancel := outlive(a.life)
		defer cancel()
		t, err := a.Look(ctx, m)
		if err != nil {
			_ = m.Nak(pause) // as above
			return
		}
		a.GiveBack(a.life, m, t, false, pause)
	})
}

// End waits until messages that were taken are given back, for a short time. Records that
// are not removed by then go when the stream's time for them is over.
func (a *Records) End() {
	a.mu.Lock()
	a.halt()
	a.mu.Unlock()
	a.returning.Wait()
}

// lastWords bounds storing something when the server has no time left.
const lastWords = time.Second

// outlive returns a context that ends a little later than base.
func outlive(base context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(base))
	stop := context.AfterFunc(base, func() { time.AfterFunc(lastWords, cancel) })
	return ctx, func() { stop(); cancel() }
}

func (a *Records) write(ctx context.Context, m *pull.Message, r attempts.Record, deadline time.Time) *status.Status {
	if err := a.Stream.Ensure(ctx, deadline); err != nil {
		return err
	}
	subject := a.Subject(m)
	slot := a.Bus.Acquire()
	defer a.Bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], r.Encode()...)
	_, err := a.Stream.Store(ctx, slot, &stores.Storing{Subject: &subject, Header: a.header(a.TTL), Deadline: deadline, Again: true})
	return err
}

func (a *Records) header(ttl time.Duration) nats.Header {
	if ttl == 0 {
		return nil
	}
	return nats.Header{wire.HeaderTTL: {ttl.String()}}
}

// Forget removes the record of a message that has ended, and does not wait for that. A
// record that stays goes when its own time, or the stream's, is over.
func (a *Records) Forget(m *pull.Message) {
	if a.blind() {
		return
	}
	if a.TTL > 0 {
		_ = a.Bus.Outbox.Send(a.Subject(m), a.header(time.Second), nil)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.Err() != nil || a.purges.Load() >= maxPurges {
		return
	}
	a.purges.Add(1)
	a.returning.Go(func() {
		defer a.purges.Add(-1)
		ctx, cancel := context.WithTimeout(a.life, stores.DefaultTimeout)
		defer cancel()
		ctx, why := a.Stores.Allowed(ctx, "STREAM.PURGE."+a.Stream.Want.Name)
		defer func() { _ = why(nil) }()
		_, _ = a.Bus.NATS.RequestWithContext(ctx, a.Stores.Purge(a.Stream.Want.Name), []byte(`{"filter":"`+a.Subject(m)+`"}`))
	})
}

// maxPurges is how many records of a consumer are removed at once: JetStream serves all
// requests to its API one after the other.
const maxPurges = 16

// blind reports whether deliveries count as attempts for now.
func (a *Records) blind() bool {
	return a.Optional && time.Now().UnixNano() < a.blindUntil.Load()
}

// impossible reports whether an error says that records cannot be kept for now, and if so
// lets deliveries count. An error that will soon be over does not say that.
func (a *Records) impossible(err *status.Status) bool {
	if !a.Optional || !a.lasts(err) {
		return false
	}
	a.blindUntil.Store(time.Now().Add(blindFor).UnixNano())
	if _, again := a.told.LoadOrStore(err.Code, true); !again {
		a.Logger().Error("aegis: attempts cannot be recorded; as long as that is so, each delivery counts as one, also to an instance that is lost or stops. "+
			"See the streams and the least permissions in docs/protocol.md", "stream", a.Stream.Want.Name, "err", err.Text())
	}
	return true
}

// lasts reports whether an error will not soon be over.
func (a *Records) lasts(err *status.Status) bool {
	if slices.Contains([]status.Code{status.PermissionDenied, status.FailedPrecondition, status.Internal}, err.Code) {
		return true
	}
	if err.Code == status.ResourceExhausted {
		return !a.Stream.Ready() // a limit of streams, for example; a stream that is there will have room again
	}
	// JetStream does not answer a request that this user may not send.
	subject, denied := denials.RefusesPublishing(a.Bus.LastError())
	return denied && errors.Is(err.Cause, context.DeadlineExceeded) && strings.HasSuffix(subject, "."+a.Stream.Want.Name)
}
