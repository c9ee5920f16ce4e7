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
	// Timed: the context does not end at the deadline, so that a timer has to.
	Timed bool
	// Cancel is where to say that the caller waits no longer; "" for nowhere.
	Cancel string
	// Gone says that the instance which was picked for it is gone; nil for none.
	Gone *atomic.Bool
	// Call: it goes to a client or server of Aegis. If a stream stores it too, what
	// JetStream says about that is no reply.
	Call bool
	// Divisible: with max_message_bytes it would travel in parts.
	Divisible bool
}

// LinkWasDown says that nothing was sent, and that the connection is back.
var LinkWasDown = status.New(status.Unavailable, "the connection to NATS was down").WithNotRun(true)

// Exchange sends one empty request of the runtime itself, and returns why no reply
// came.
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
// for that instead and returns LinkWasDown: the caller sends r again, with what is
// then left of its deadline.
func (b *Bus) RoundTrip(ctx context.Context, slot *Slot, r *Request) (*nats.Msg, *status.Status) {
	reply := b.mux.expect(slot, r)
	// Looked at after the request waits: either it is seen here that the connection
	// is gone, or Fail sees the request.
	if !b.LinkUp() {
		if msg, ok := slot.abandon(); ok {
			return b.replied(slot, r, msg)
		}
		if why := b.AwaitLink(ctx, *r.Subject, r.Deadline); why != nil {
			return nil, why
		}
		return nil, LinkWasDown
	}
	if r.Gone != nil && r.Gone.Load() { // the same with an instance that is found to be gone
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
	b.Link.Doubt() // the connection went down after the look at it
	return nil, LinkWasDown
}

func (b *Bus) publish(r *Request, reply string) error {
	if r.Message == nil {
		return b.NATS.PublishRequest(*r.Subject, reply, r.Payload)
	}
	r.Message.Subject, r.Message.Reply, r.Message.Data = *r.Subject, reply, r.Payload
	return b.NATS.PublishMsg(r.Message)
}

// await waits for the reply to what was sent.
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
		// If it cannot be sent, the handler's deadline ends it.
		_ = b.NATS.Publish(r.Cancel, []byte(reply))
	}
	return nil, b.unanswered(slot, r, err)
}

// replied returns the reply, or the failure that was delivered in its place.
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

// unanswered is the status of a request that was sent and not answered.
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

// Denied is the status of what NATS does not allow this user to publish.
func Denied(subject string, err error) *status.Status {
	return status.Because(err, status.PermissionDenied, "NATS does not allow this user to publish to "+subject+"; add it to the user's permissions")
}

// LastDenial looks at the last error of the connection for the reason why nothing was
// answered on a subject. On a connection that Connect did not make, that is where a
// missing permission shows, unless another one came after it: the hint says so then.
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
