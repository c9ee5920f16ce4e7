package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Request is a message that wants one reply.
type Request struct {
	Subject  *string
	Message  *nats.Msg // carries the headers; nil without any
	Payload  []byte
	Deadline time.Time
	// Timed: the context does not end at the deadline, so a timer has to end the wait.
	Timed bool
	// Cancel is the subject that hears that the caller waits no longer; "" for none.
	Cancel string
	// Gone becomes true when the instance that was picked for the request is found to be
	// gone; nil if none was picked.
	Gone *atomic.Bool
	// Call: the request goes to a client or a server of Aegis. If a stream stores it as
	// well, JetStream's message about that is no reply.
	Call bool
	// Repeat has the request end as ConnectionLost, for its sender to send it again, when the
	// connection was lost before the reply has come; nil for a request that waits on.
	Repeat *Repeat
	// Waited is for how long RoundTrip has waited for the connection, in all its calls.
	Waited time.Duration
	// Divisible: with max_message_bytes the request would travel in parts.
	Divisible bool
}

// LinkWasDown is the status of a request that was not sent because the connection was
// down; the connection is back.
var LinkWasDown = status.New(status.Unavailable, "the connection to NATS was down").WithNotRun(true)

// Exchange sends one empty request of the runtime itself, and returns nil when a reply
// has come, else the reason why none has.
func (b *Bus) Exchange(ctx context.Context, subject string, deadline time.Time) *status.Status {
	slot := b.Acquire()
	defer b.Release(slot)
	return b.exchangeThrough(ctx, slot, subject, deadline)
}

func (b *Bus) exchangeThrough(ctx context.Context, slot *Slot, subject string, deadline time.Time) *status.Status {
	r := Request{Subject: &subject, Deadline: deadline, Timed: true, Call: true}
	msg, why := b.RoundTrip(ctx, slot, &r)
	for why == LinkWasDown {
		msg, why = b.RoundTrip(ctx, slot, &r)
	}
	if why == nil && NoResponders(msg) {
		return status.Refusal(status.Unavailable, status.ReasonNoResponders, "nobody listens on %s", subject).WithNotRun(true)
	}
	return why
}

// NoResponders reports whether a reply is NATS's own word that nobody listens on the
// subject of the request.
func NoResponders(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header != nil && msg.Header.Get("Status") == "503"
}

// RoundTrip sends r and waits for the reply. If the connection is down, it waits
// for that instead and returns LinkWasDown: the caller sends r again, with the
// time that is left then.
func (b *Bus) RoundTrip(ctx context.Context, slot *Slot, r *Request) (*nats.Msg, *status.Status) {
	reply := b.mux.expect(slot, r)
	// The link is asked after the request has begun to wait: either it says here that
	// the connection is gone, or Fail finds the request.
	if !b.LinkUp() {
		if msg, ok := slot.abandon(); ok {
			return b.replied(slot, r, msg)
		}
		begun := time.Now()
		why := b.AwaitLink(ctx, *r.Subject, r.Deadline)
		r.Waited += time.Since(begun)
		if why != nil {
			return nil, why
		}
		return nil, LinkWasDown
	}
	if r.Gone != nil && r.Gone.Load() { // asked after that for the same reason
		slot.abandon()
		return nil, status.Refusal(status.Unavailable, status.ReasonNoResponders,
			"nothing was sent to %s, as the instance is gone", *r.Subject).WithNotRun(true)
	}
	err := b.publish(r, reply)
	if err == nil {
		return b.await(ctx, slot, r, reply)
	}
	if msg, ok := slot.abandon(); ok {
		return b.replied(slot, r, msg)
	}
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nil, b.PublishError(r, err)
	}
	b.Link.Doubt() // the connection went down after LinkUp
	return nil, LinkWasDown
}

func (b *Bus) publish(r *Request, reply string) error {
	if r.Message == nil {
		return b.NATS.PublishRequest(*r.Subject, reply, r.Payload)
	}
	r.Message.Subject, r.Message.Reply, r.Message.Data = *r.Subject, reply, r.Payload
	return b.NATS.PublishMsg(r.Message)
}

// await waits for the reply to a request that was sent.
func (b *Bus) await(ctx context.Context, slot *Slot, r *Request, reply string) (*nats.Msg, *status.Status) {
	if r.Timed {
		slot.expiry.arm(r.Deadline)
	}
	done := ctx.Done()
	if done == nil { // a receive costs less than a select
		return b.replied(slot, r, <-slot.replies)
	}
	select {
	case msg := <-slot.replies:
		return b.replied(slot, r, msg)
	case <-done:
	}
	if msg, ok := slot.abandon(); ok {
		return b.replied(slot, r, msg)
	}
	err := ctx.Err()
	if errors.Is(err, context.Canceled) && r.Cancel != "" {
		// If this message is lost, the handler's deadline ends the handler.
		_ = b.NATS.Publish(r.Cancel, []byte(reply))
	}
	return nil, b.unanswered(slot, r, err)
}

// replied returns the reply, or the failure that the slot has in its place.
func (b *Bus) replied(slot *Slot, r *Request, msg *nats.Msg) (*nats.Msg, *status.Status) {
	switch {
	case msg != nil:
		return msg, nil
	case slot.failure == expired:
		return nil, b.unanswered(slot, r, nil)
	default:
		return nil, slot.failure
	}
}

// unanswered returns the status of a request that was sent and not answered; err is the
// error of the context, or nil if a timer has ended the wait.
func (b *Bus) unanswered(slot *Slot, r *Request, err error) *status.Status {
	if errors.Is(err, context.Canceled) {
		return status.Because(err, status.Canceled, "canceled by the caller while waiting for "+*r.Subject)
	}
	s := status.Because(context.DeadlineExceeded, status.DeadlineExceeded,
		"no reply on "+*r.Subject+" before the deadline; whether the handler ran is unknown")
	if stream := slot.Auditor(); stream != "" {
		s.Message += "; only the stream " + stream + " has answered, which stores what is sent there"
	}
	denied, hint := b.LastDenial(*r.Subject)
	if denied != nil {
		return denied
	}
	s.Message += hint
	return s
}

// Denied returns the status of a message to a subject where NATS does not allow this
// user to publish.
func Denied(subject string, err error) *status.Status {
	return status.Because(err, status.PermissionDenied, "NATS does not allow this user to publish to "+subject+"; add it to the user's permissions")
}

// LastDenial looks for the reason why a request to a subject was not answered in the last
// error of the connection. On a connection that the program has made, a missing permission
// shows nowhere else, and only until another error follows: the hint says so then.
func (b *Bus) LastDenial(subject string) (denied *status.Status, hint string) {
	last := b.LastError()
	switch other, ok := denials.RefusesPublishing(last); {
	case !ok:
	case other == subject:
		return Denied(subject, last), ""
	case !b.told:
		return nil, "; NATS does not allow this user to publish to " + other +
			", and maybe not this either: look at what the nats.ErrorHandler of the connection is told, or use aegis.Connect"
	}
	return nil, ""
}
