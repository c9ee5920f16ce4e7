package aegis

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
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// attemptRecords keeps what is known of the attempts of a consumer's messages,
// each in a record beside the message. It is safe for concurrent use.
type attemptRecords struct {
	stream  *openStream
	subject func(*pull.Message) string
	most    int // attempts of a message
	// ttl is how long a record is kept; 0 is as long as the stream keeps it.
	ttl time.Duration
	// optional: the stream is there for the records only. Where it cannot be made or
	// used, each delivery counts as an attempt.
	optional bool
	logger   func() *slog.Logger

	blindUntil atomic.Int64 // until when it is not tried again, in ns since 1970
	told       sync.Map     // why, by code, as was logged
	purges     atomic.Int32 // records that are being taken away

	life      context.Context //nolint:containedctx // of the worker that takes the messages
	mu        sync.Mutex      // guards the end of life, after which nothing is added to returning
	halt      context.CancelFunc
	returning sync.WaitGroup // messages on their way back, and purges
}

// init follows the settings.
func (a *attemptRecords) init() { a.life, a.halt = context.WithCancel(context.Background()) }

// The record of a command outlives its pauses and most times without a worker;
// when it is gone, the attempts are counted anew.
const attemptsTTL = 7 * 24 * time.Hour

const (
	// blindFor is how long deliveries are counted before it is tried again whether
	// records can be kept.
	blindFor = time.Minute
	// noteTimeout is how long it is tried to store that a handler begins, which
	// waits for that.
	noteTimeout = 5 * time.Second
	// failureTimeout is how long it is tried to store that a handler has failed,
	// before the message is given back anyhow. Then it is a suspect.
	failureTimeout = 30 * time.Second
)

// look finds out how often the message was worked.
func (a *attemptRecords) look(ctx context.Context, m *pull.Message) (attempts.Try, *Error) {
	of := attempts.Message{Sequence: m.Sequence, Stored: m.Time.UnixNano(), Delivered: m.Delivered()}
	if of.Delivered == 1 && a.most > 1 {
		return attempts.New(of, attempts.Record{}, a.most), nil
	}
	if a.blind() {
		return attempts.Blind(of, a.most), nil
	}
	r, err := a.read(ctx, m)
	if err != nil {
		if !a.impossible(err) {
			return attempts.Try{}, err
		}
		return attempts.Blind(of, a.most), nil
	}
	return attempts.New(of, r, a.most), nil
}

func (a *attemptRecords) read(ctx context.Context, m *pull.Message) (attempts.Record, *Error) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := a.stream.ensureWithin(ctx, deadline); err != nil {
		return attempts.Record{}, err
	}
	msg, err := a.stream.conn.lastStored(ctx, a.stream.Want.Name, a.subject(m))
	if err != nil || msg == nil {
		return attempts.Record{}, err
	}
	r, _ := attempts.Parse(msg.Data) // what is none is as good as none
	return r, nil
}

// note stores that the handler is about to begin, if it has to be known. It
// returns false if that cannot be stored: then the handler must not begin.
func (a *attemptRecords) note(ctx context.Context, m *pull.Message, t attempts.Try) bool {
	if !t.Noted() {
		return true
	}
	err := a.write(ctx, m, t.Begun(), time.Now().Add(noteTimeout))
	if err == nil || a.impossible(err) {
		return true
	}
	a.logger().Warn("aegis: it cannot be stored that an attempt begins; it begins later", "sequence", m.Sequence, "err", err)
	return false
}

// failed stores that an attempt has failed. The message is held meanwhile.
func (a *attemptRecords) failed(ctx context.Context, m *pull.Message, t attempts.Try) {
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
			a.logger().Warn("aegis: it cannot be stored that an attempt has failed", "sequence", m.Sequence, "err", err)
			return
		}
	}
}

// dead stores that a message is to have no further attempt: it belongs to the dead
// letters, which do not take it yet. If that cannot be stored either, its handler
// may run again.
func (a *attemptRecords) dead(ctx context.Context, m *pull.Message, t attempts.Try, reason string) {
	if a.blind() {
		return
	}
	err := a.write(ctx, m, t.Dead(reason[:min(len(reason), maxDeadReason)]), time.Now().Add(noteTimeout))
	if err != nil && !a.impossible(err) {
		a.logger().Warn("aegis: it cannot be stored that a message is dead", "sequence", m.Sequence, "err", err)
	}
}

// maxDeadReason keeps records small.
const maxDeadReason = 1 << 10

// giveBack gives a message back in good order, so that this costs it no attempt:
// another worker has time for it, or leads. If that cannot be stored, the message is
// a suspect. began says whether its handler had begun. When base has ended, there is
// little time.
func (a *attemptRecords) giveBack(base context.Context, m *pull.Message, t attempts.Try, began bool, pause time.Duration) {
	if r, needed := t.GivenBack(began); needed && !a.blind() {
		ctx, cancel := outlive(base)
		defer cancel()
		if err := a.write(ctx, m, r, time.Now().Add(failureTimeout)); err != nil && !a.impossible(err) {
			a.logger().Warn("aegis: it cannot be stored that a message is given back; it is worked alone the next time", "sequence", m.Sequence, "err", err)
		}
	}
	_ = m.Nak(pause) // else it is delivered again when its time is over
}

// giveBackTaken is giveBack for a message that was only taken, of which there may be
// many. It does not wait; end does.
func (a *attemptRecords) giveBackTaken(m *pull.Message, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.Err() != nil || a.most == 1 { // where nothing begins without a record, none is needed
		_ = m.Nak(pause) // as above
		return
	}
	a.returning.Go(func() {
		ctx, cancel := outlive(a.life)
		defer cancel()
		t, err := a.look(ctx, m)
		if err != nil {
			_ = m.Nak(pause) // as above
			return
		}
		a.giveBack(a.life, m, t, false, pause)
	})
}

// end returns when what was taken is given back, soon. What is not taken away by then
// goes with the stream's time.
func (a *attemptRecords) end() {
	a.mu.Lock()
	a.halt()
	a.mu.Unlock()
	a.returning.Wait()
}

// outlive returns a context that ends somewhat later than base.
func outlive(base context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(base))
	stop := context.AfterFunc(base, func() { time.AfterFunc(releaseTime, cancel) })
	return ctx, func() { stop(); cancel() }
}

func (a *attemptRecords) write(ctx context.Context, m *pull.Message, r attempts.Record, deadline time.Time) *Error {
	if err := a.stream.ensureWithin(ctx, deadline); err != nil {
		return err
	}
	subject := a.subject(m)
	slot := a.stream.conn.bus.Acquire()
	defer a.stream.conn.bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], r.Encode()...)
	_, err := a.stream.store(ctx, slot, &storing{Subject: &subject, Header: a.header(a.ttl), Deadline: deadline, Again: true})
	return err
}

func (a *attemptRecords) header(ttl time.Duration) nats.Header {
	if ttl == 0 {
		return nil
	}
	return nats.Header{wire.HeaderTTL: {ttl.String()}}
}

// forget takes away the record of a message that has ended. Nobody waits for that:
// what stays goes with its time, or with the stream's.
func (a *attemptRecords) forget(m *pull.Message) {
	if a.blind() {
		return
	}
	if a.ttl > 0 {
		_ = a.stream.conn.bus.Outbox.Send(a.subject(m), a.header(time.Second), nil)
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
		conn := a.stream.conn
		ctx, why := conn.stores.Allowed(ctx, "STREAM.PURGE."+a.stream.Want.Name)
		defer func() { _ = why(nil) }()
		_, _ = conn.nc.RequestWithContext(ctx, conn.stores.Purge(a.stream.Want.Name), []byte(`{"filter":"`+a.subject(m)+`"}`))
	})
}

// maxPurges is how many records of a consumer are taken away at once: JetStream
// serves everybody who asks it for something, one after the other.
const maxPurges = 16

func (a *attemptRecords) blind() bool {
	return a.optional && time.Now().UnixNano() < a.blindUntil.Load()
}

// impossible tells whether records cannot be kept for now, and lets deliveries be
// counted then. An error that will be over soon is none.
func (a *attemptRecords) impossible(err *Error) bool {
	if !a.optional || !a.lasts(err) {
		return false
	}
	a.blindUntil.Store(time.Now().Add(blindFor).UnixNano())
	if _, again := a.told.LoadOrStore(err.Code(), true); !again {
		a.logger().Error("aegis: attempts cannot be recorded; as long as that is so, each delivery counts as one, also to an instance that is lost or stops. "+
			"See the streams and the least permissions in docs/protocol.md", "stream", a.stream.Want.Name, "err", err)
	}
	return true
}

func (a *attemptRecords) lasts(err *Error) bool {
	if slices.Contains([]Code{CodePermissionDenied, CodeFailedPrecondition, CodeInternal}, err.Code()) {
		return true
	}
	if err.Code() == CodeResourceExhausted {
		return !a.stream.Ready() // a limit of streams, for one; where it is there, there will be room again
	}
	// What a user may not ask JetStream is not answered.
	subject, denied := denials.RefusesPublishing(a.stream.conn.bus.LastError())
	return denied && errors.Is(err, context.DeadlineExceeded) && strings.HasSuffix(subject, "."+a.stream.Want.Name)
}
