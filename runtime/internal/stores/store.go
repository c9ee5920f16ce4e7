package stores

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
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Stream is a stream that is found or made when it is first needed. It is safe for
// concurrent use.
type Stream struct {
	Stores *Stores
	Want   Want // without a name: the stream is neither looked for nor made
	Policy Policy

	ready  atomic.Bool                       // the stream was there when it was looked for last
	mu     sync.Mutex                        // held while the stream is looked for, so that one caller does that
	dedupe atomic.Int64                      // how long the stream that was found remembers message ids
	notes  atomic.Pointer[map[string]string] // the metadata of the stream that was found; nil before
}

// Window returns how long the stream remembers message ids; 0 while that is unknown.
func (o *Stream) Window() time.Duration { return time.Duration(o.dedupe.Load()) }

// Ready reports whether the stream was there when it was looked for last.
func (o *Stream) Ready() bool { return o.ready.Load() }

// Found says that the stream is there.
func (o *Stream) Found() { o.ready.Store(true) }

func (o *Stream) ensure(ctx context.Context) *status.Status {
	if o.ready.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ready.Load() {
		return nil
	}
	stream, err := o.Stores.Stream(ctx, o.Want, o.Policy)
	if err != nil {
		return StatusOf(err)
	}
	o.dedupe.Store(int64(stream.CachedInfo().Config.Duplicates))
	o.notes.Store(&stream.CachedInfo().Config.Metadata)
	o.ready.Store(true)
	return nil
}

// Forget has the next caller of Ensure look for the stream again.
func (o *Stream) Forget() { o.ready.Store(false) }

// Ensure finds or makes the stream, unless that was done already. It waits for a
// connection that is down until the deadline.
func (o *Stream) Ensure(ctx context.Context, deadline time.Time) *status.Status {
	if o.ready.Load() || o.Want.Name == "" {
		return nil
	}
	if !o.Stores.bus.LinkUp() {
		if why := o.Stores.bus.AwaitLink(ctx, o.Want.Subjects[0], deadline); why != nil {
			return why
		}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return o.ensure(ctx)
}

// ResendAfter is how long an acknowledgement may take before a message that is
// stored once, however often it is sent, is sent again.
const ResendAfter = 2 * time.Second

// MaxMessageID is the longest id, in bytes, that a publisher may give a message.
const MaxMessageID = 256

// Storing is one message on its way to a stream.
type Storing struct {
	Subject  *string
	Header   nats.Header // nil without any
	Deadline time.Time
	Again    bool // a second copy is recognised, and not stored again
	// Window is how long a second copy is recognised; 0: for ever.
	Window time.Duration
	// Event is set for an event with a key, whose hash is Hash: it says the subject.
	Event *KeyedEvent
	Hash  uint64
}

// Store sends the slot's payload and waits until it is stored. It sends a message again
// if it is not answered and a second copy does no harm.
//
// Only an acknowledgement says that the message is stored. A refusal says that this copy
// is not. An earlier copy that was never answered may still be on its way; then a refusal
// decides nothing, and the code of the status is DeadlineExceeded, which leaves open
// whether the message is stored. The caller decides about a compare-and-set that was
// refused.
func (o *Stream) Store(ctx context.Context, slot *bus.Slot, s *Storing) (*Ack, *status.Status) {
	first, open := time.Now(), false // open: an earlier copy may yet be stored
	for attempt := 1; ; attempt++ {
		again := s.Again && (s.Window == 0 || time.Since(first)+ResendAfter < s.Window/2)
		ack, err := o.storeOnce(ctx, slot, s, again)
		switch {
		case err == nil:
			return ack, nil
		case err == bus.LinkWasDown:
			attempt--
			continue
		case jserror.WrongLastSequence(err.Cause):
			return nil, err
		case err.Reason == status.ReasonNoResponders && o.Want.Name != "", s.Event != nil && formerEpoch(err):
			// The stream is gone, or about to have a new leader, or the number of partitions of
			// the event was changed. This copy is not stored.
			if !bus.Sleep(ctx, bus.Pause(attempt), s.Deadline) {
				return nil, Undecided(open, *s.Subject, err)
			}
		case err.Code == status.DeadlineExceeded && ctx.Err() == nil && again && time.Now().Before(s.Deadline):
			// The stream may be gone. If another subscriber listens on the subject, no
			// answer says so.
			open = true
		case err.Code == status.DeadlineExceeded:
			o.Forget()
			return nil, Undecided(true, *s.Subject, err)
		case again && (open || jserror.InProcess(err.Cause)):
			open = true
			if !bus.Sleep(ctx, bus.Pause(attempt), s.Deadline) {
				return nil, Undecided(true, *s.Subject, err)
			}
			continue // without looking for the stream, as it answers
		default:
			return nil, Undecided(open || jserror.InProcess(err.Cause), *s.Subject, err)
		}
		o.Forget()
		if err := o.Ensure(ctx, s.Deadline); err != nil {
			return nil, Undecided(open, *s.Subject, err)
		}
		if s.Event != nil {
			s.Subject = s.Event.Subject(s.Hash)
		}
	}
}

// Undecided returns the status for a publisher whose last answer is err. Open says that an
// earlier copy may be stored.
func Undecided(open bool, subject string, err *status.Status) *status.Status {
	if !open || err.Code == status.Canceled {
		return err
	}
	text := "no acknowledgement of " + subject + " before the deadline; whether the message is stored is unknown"
	if err.Code != status.DeadlineExceeded {
		text += "; the last answer: " + err.Message
	}
	return status.Because(context.DeadlineExceeded, status.DeadlineExceeded, text)
}

// storeOnce sends one copy. It waits for 2 s if another copy can follow, else until the
// deadline.
func (o *Stream) storeOnce(ctx context.Context, slot *bus.Slot, s *Storing, again bool) (*Ack, *status.Status) {
	r := bus.Request{Subject: s.Subject, Payload: slot.Payload, Deadline: s.Deadline, Timed: true}
	if s.Header != nil {
		slot.Message = nats.Msg{Header: s.Header}
		r.Message = &slot.Message
	}
	if next := time.Now().Add(ResendAfter); again && next.Before(s.Deadline) {
		r.Deadline = next
	}
	msg, err := o.Stores.bus.RoundTrip(ctx, slot, &r)
	if err != nil {
		return nil, err
	}
	return ParseAck(msg, o.Want.Name)
}

// NoStream returns the status of a message that no stream takes.
func NoStream() *status.Status {
	return status.Refusal(status.Unavailable, status.ReasonNoResponders, "no stream takes the message").WithNotRun(true)
}

// Ack is JetStream's word that a message is stored.
type Ack struct {
	Stream    string
	Sequence  uint64
	Duplicate bool // a message with this id was stored before, under that sequence
}

// ParseAck reads JetStream's answer. Stream is the name of the stream that most likely
// answers, which then is not allocated.
func ParseAck(msg *nats.Msg, stream string) (*Ack, *status.Status) {
	if bus.NoResponders(msg) {
		return nil, NoStream()
	}
	if ack := quickAck(msg.Data, stream); ack != nil {
		return ack, nil
	}
	var answer struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Error == nil && answer.Stream == "" {
		return nil, status.New(status.Internal, "what answered is not JetStream: "+strconv.QuoteToASCII(string(msg.Data[:min(len(msg.Data), 100)])))
	}
	if answer.Error != nil {
		code := codeOf(answer.Error)
		return nil, status.Newf(code, "JetStream refuses the message: %w%s", answer.Error, refusalHint(code, answer.Error))
	}
	return &Ack{Stream: answer.Stream, Sequence: answer.Sequence, Duplicate: answer.Duplicate}, nil
}

// quickAck reads an answer that has stream and sequence and no more, as nearly every
// answer does; it returns nil for all other answers.
func quickAck(data []byte, stream string) *Ack {
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
	return &Ack{Stream: stream, Sequence: seq}
}
