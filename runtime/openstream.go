package aegis

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// openStream is a stream that is found or made when it is first needed.
type openStream struct {
	conn   *Conn
	config stores.Want
	policy stores.Policy

	ready atomic.Bool
	mu    sync.Mutex
	// dedupe is for how long the stream really remembers message ids.
	dedupe atomic.Int64
}

func (o *openStream) window() time.Duration { return time.Duration(o.dedupe.Load()) }

func (o *openStream) ensure(ctx context.Context) *Error {
	if o.ready.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ready.Load() {
		return nil
	}
	stream, err := o.conn.stores.Stream(ctx, o.config, o.policy)
	if err != nil {
		return storeError(err)
	}
	o.dedupe.Store(int64(stream.CachedInfo().Config.Duplicates))
	o.ready.Store(true)
	return nil
}

// forget has the next one look for it again.
func (o *openStream) forget() { o.ready.Store(false) }

// ensureWithin is ensure with a deadline.
func (o *openStream) ensureWithin(ctx context.Context, deadline time.Time) *Error {
	if o.ready.Load() || o.config.Name == "" {
		return nil
	}
	r := bus.Request{Subject: &o.config.Subjects[0], Deadline: deadline}
	if !o.conn.bus.LinkUp() {
		if err := o.conn.awaitLink(ctx, *r.Subject, r.Deadline); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return o.ensure(ctx)
}

// resendAfter is how long an acknowledgement may take before a message that is
// stored once, however often it is sent, is sent again.
const resendAfter = 2 * time.Second

// storing is one message on its way into a stream.
type storing struct {
	subject  *string
	header   nats.Header // nil without any
	deadline time.Time
	again    bool // sending it twice stores it once
	// window is for how long that holds; 0: for ever.
	window time.Duration
}

// store sends what is in the slot's payload and waits until it is stored.
//
// Only a PubAck says that it is. A refusal says that this copy is not; when an
// earlier copy was sent and never answered, that one may be on its way yet, so
// that a refusal decides nothing: the error is then CodeDeadlineExceeded, which
// leaves it open. A compare-and-set that was refused is the caller's to decide.
func (o *openStream) store(ctx context.Context, slot *bus.Slot, s *storing) (*PubAck, *Error) {
	first, open := time.Now(), false // open: a copy may yet be stored
	for attempt := 1; ; attempt++ {
		again := s.again && (s.window == 0 || time.Since(first)+resendAfter < s.window/2)
		ack, err := o.storeOnce(ctx, slot, s, again)
		switch {
		case err == nil:
			return ack, nil
		case err == errLinkWasDown:
			attempt--
			continue
		case jserror.WrongLastSequence(err):
			return nil, err
		case err.Reason() == ReasonNoResponders && o.config.Name != "":
			// The stream is gone, or about to have a new leader. Nothing is stored.
			if !pauseUntil(ctx, notDelivered(attempt), s.deadline) {
				return nil, undecided(open, s, err)
			}
		case err.Code() == CodeDeadlineExceeded && ctx.Err() == nil && again && time.Now().Before(s.deadline):
			// Where somebody else listens on the subject, nobody says that the
			// stream is gone.
			open = true
		case err.Code() == CodeDeadlineExceeded:
			o.forget()
			return nil, undecided(true, s, err)
		case again && (open || jserror.InProcess(err)):
			open = true
			if !pauseUntil(ctx, notDelivered(attempt), s.deadline) {
				return nil, undecided(true, s, err)
			}
			continue // the stream is there, as it answers
		default:
			return nil, undecided(open || jserror.InProcess(err), s, err)
		}
		o.forget()
		if err := o.ensureWithin(ctx, s.deadline); err != nil {
			return nil, undecided(open, s, err)
		}
	}
}

// undecided is what a publisher is told that has err as the last answer.
func undecided(open bool, s *storing, err *Error) *Error {
	if !open || err.Code() == CodeCanceled {
		return err
	}
	text := "no acknowledgement of " + *s.subject + " before the deadline; whether the message is stored is unknown"
	if err.Code() != CodeDeadlineExceeded {
		text += "; the last answer: " + err.Message()
	}
	return because(context.DeadlineExceeded, CodeDeadlineExceeded, text)
}

// storeOnce sends one copy. It waits for 2 s if another one can follow.
func (o *openStream) storeOnce(ctx context.Context, slot *bus.Slot, s *storing, again bool) (*PubAck, *Error) {
	r := bus.Request{Subject: s.subject, Payload: slot.Payload, Deadline: s.deadline, Timed: true}
	if s.header != nil {
		slot.Message = nats.Msg{Header: s.header}
		r.Message = &slot.Message
	}
	if next := time.Now().Add(resendAfter); again && next.Before(s.deadline) {
		r.Deadline = next
	}
	msg, err := o.conn.roundTrip(ctx, slot, &r)
	if err != nil {
		return nil, err
	}
	return parsePubAck(msg, o.config.Name)
}

// pauseUntil reports whether there is time left after a pause.
func pauseUntil(ctx context.Context, d time.Duration, deadline time.Time) bool {
	if time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parsePubAck reads JetStream's answer, most likely of a certain stream.
func parsePubAck(msg *nats.Msg, stream string) (*PubAck, *Error) {
	if bus.NoResponders(msg) {
		return nil, refusal(CodeUnavailable, ReasonNoResponders, "no stream takes the message")
	}
	if ack := quickPubAck(msg.Data, stream); ack != nil {
		return ack, nil
	}
	var answer struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Error == nil && answer.Stream == "" {
		return nil, NewError(CodeInternal, "what answered is not JetStream: "+quote(string(msg.Data[:min(len(msg.Data), 100)])))
	}
	if answer.Error != nil {
		code := apiErrorCode(answer.Error)
		return nil, Errorf(code, "JetStream refuses the message: %w%s", answer.Error, refusalHint(code, answer.Error))
	}
	return &PubAck{Stream: answer.Stream, Sequence: answer.Sequence, Duplicate: answer.Duplicate}, nil
}

// quickPubAck reads the answer that says nothing but stream and sequence, which
// is nearly every one; nil for all others.
func quickPubAck(data []byte, stream string) *PubAck {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return nil
	}
	name, rest, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || bytes.IndexByte(name, '\\') >= 0 {
		return nil
	}
	if string(name) != stream {
		stream = string(name)
	}
	rest = bytes.TrimLeft(rest, ", ")
	if rest, ok = bytes.CutPrefix(rest, []byte(`"seq":`)); !ok {
		return nil
	}
	digits, ok := bytes.CutSuffix(bytes.TrimLeft(rest, " "), []byte("}"))
	if !ok {
		return nil
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return nil
	}
	return &PubAck{Stream: stream, Sequence: seq}
}
