package aegis

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// request is a message that wants one reply.
type request struct {
	subject  *string
	message  *nats.Msg // carries the headers; nil without any
	payload  []byte
	deadline time.Time
	// timed: ctx does not end at the deadline, so that a timer has to.
	timed bool
	// cancel is where to say that the caller waits no longer; "" for nowhere.
	cancel string
	// target is the instance that was picked for it; nil for none.
	target *target
	// call: it goes to a client or server of Aegis. If a stream stores it too, what
	// JetStream says about that is no reply.
	call bool
	// divisible: with max_message_bytes it would travel in parts.
	divisible bool
}

// exchange sends one empty request of the runtime itself, and returns why no
// reply came.
func (c *Conn) exchange(ctx context.Context, subject string, deadline time.Time) *Error {
	slot := c.mux.acquire()
	defer c.mux.release(slot)
	return c.exchangeThrough(ctx, slot, subject, deadline)
}

func (c *Conn) exchangeThrough(ctx context.Context, slot *replySlot, subject string, deadline time.Time) *Error {
	r := request{subject: &subject, deadline: deadline, timed: true, call: true}
	msg, err := c.roundTrip(ctx, slot, &r)
	for err == errLinkWasDown {
		msg, err = c.roundTrip(ctx, slot, &r)
	}
	if err == nil && isNoRespondersMsg(msg) {
		return refusal(CodeUnavailable, ReasonNoResponders, "nobody listens on %s", subject).notRun(true)
	}
	return err
}

// errLinkWasDown says that nothing was sent, and that the connection is back.
var errLinkWasDown = NewError(CodeUnavailable, "the connection to NATS was down")

// roundTrip sends r and waits for the reply. If the connection is down, it waits
// for that instead and returns errLinkWasDown: the caller sends r again, with
// what is then left of its deadline.
func (c *Conn) roundTrip(ctx context.Context, slot *replySlot, r *request) (*nats.Msg, *Error) {
	reply := c.mux.expect(slot, r)
	// Looked at after the call waits: either it is seen here that the connection
	// is gone, or failWaiting sees the call.
	if !c.linkUp() {
		if msg, ok := slot.abandon(); ok {
			return c.replied(slot, r, msg)
		}
		if err := c.awaitLink(ctx, r); err != nil {
			return nil, err.notRun(true)
		}
		return nil, errLinkWasDown
	}
	if r.target != nil && r.target.gone.Load() { // the same with an instance that is found to be gone
		slot.abandon()
		return nil, refusal(CodeUnavailable, ReasonNoResponders, "nothing was sent to %s, as the instance is gone", *r.subject).notRun(true)
	}
	err := c.publishRequest(r, reply)
	if err == nil {
		return c.await(ctx, slot, r, reply)
	}
	if msg, ok := slot.abandon(); ok {
		return c.replied(slot, r, msg)
	}
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nil, c.publishError(r, err)
	}
	c.link.Doubt() // the connection went down after the look at it
	return nil, errLinkWasDown
}

// linkUp asks nats.go as well: the link hears of an outage a moment later, in
// which nats.go would keep requests and send them after the reconnect.
func (c *Conn) linkUp() bool {
	if !c.link.Up() {
		return false
	}
	if c.nc.IsConnected() {
		return true
	}
	c.link.Doubt()
	return false
}

// lastError is the last error that NATS has reported; nil while the connection is
// down: nats.go may hold its lock then, as it dials.
func (c *Conn) lastError() error {
	if !c.link.Up() {
		return nil
	}
	return c.nc.LastError()
}

func (c *Conn) publishRequest(r *request, reply string) error {
	if r.message == nil {
		return c.nc.PublishRequest(*r.subject, reply, r.payload)
	}
	r.message.Subject, r.message.Reply, r.message.Data = *r.subject, reply, r.payload
	return c.nc.PublishMsg(r.message)
}

// linkBroke reports whether a write failed. nats.go sends the rest of it to nobody.
func linkBroke(err error) bool {
	var broken *net.OpError
	return errors.As(err, &broken)
}

// notConnected is what is said in place of nats.go's "outbound buffer limit exceeded".
const notConnected = "not connected to NATS"

// publishError says why nothing was sent, or not all.
func (c *Conn) publishError(r *request, err error) *Error {
	return c.unpublished(r, err).notRun(!linkBroke(err))
}

func (c *Conn) unpublished(r *request, err error) *Error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		what, advice := "the message", sendLess
		if r.call {
			what = "the request"
		}
		if r.divisible {
			advice = sendInParts
		}
		return tooLarge(what, len(r.payload), c.nc.MaxPayload(), advice)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return connClosed()
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return Errorf(CodeUnavailable, "%s; nothing was sent to %s", notConnected, *r.subject)
	case linkBroke(err):
		return Errorf(CodeUnavailable, "the connection to NATS broke before all of the request to %s was sent: %w", *r.subject, err)
	default:
		return Errorf(CodeInternal, "cannot publish to %s: %w", *r.subject, err)
	}
}

func connClosed() *Error {
	return because(ErrConnClosed, CodeCanceled, ErrConnClosed.Error())
}

// What helps against a message that is too large.
const (
	sendInParts  = "set max_message_bytes in the method's options, and it travels in parts"
	sendLess     = "raise max_payload of the NATS server, or store the data elsewhere and send where they are"
	takeInParts  = "the client takes no messages in parts, which those of Aegis do for methods with max_message_bytes"
	lessMetadata = "send less metadata"
)

func tooLarge(what string, size int, most int64, advice string) *Error {
	return refusal(CodeResourceExhausted, ReasonTooLarge,
		"%s takes %d bytes with its headers besides, the NATS server's max_payload is %d; %s", what, size, most, advice)
}

// awaitLink waits until the connection is up.
func (c *Conn) awaitLink(ctx context.Context, r *request) *Error {
	for !c.link.Wait(ctx, r.deadline) {
		switch {
		case c.link.Closed(): // nats.go would be asked in vain while it dials
			return connClosed()
		case ctx.Err() != nil:
			return asError(ctx.Err())
		case !time.Now().Before(r.deadline):
			return because(context.DeadlineExceeded, CodeDeadlineExceeded, notConnected+"; nothing was sent to "+*r.subject)
		}
	}
	return nil
}

// await waits for the reply to what was sent.
func (c *Conn) await(ctx context.Context, slot *replySlot, r *request, reply string) (*nats.Msg, *Error) {
	if r.timed {
		slot.expiry.arm(r.deadline)
	}
	done := ctx.Done()
	if done == nil { // a receive costs less than a select
		return c.replied(slot, r, <-slot.replies)
	}
	select {
	case msg := <-slot.replies:
		return c.replied(slot, r, msg)
	case <-done:
	}
	if msg, ok := slot.abandon(); ok {
		return c.replied(slot, r, msg)
	}
	err := ctx.Err()
	if errors.Is(err, context.Canceled) && r.cancel != "" {
		// If it cannot be sent, the handler's deadline ends it.
		_ = c.nc.Publish(r.cancel, []byte(reply))
	}
	return nil, c.unanswered(slot, r, err)
}

// replied returns the reply, or the failure that was delivered in its place.
func (c *Conn) replied(slot *replySlot, r *request, msg *nats.Msg) (*nats.Msg, *Error) {
	switch {
	case msg != nil:
		return msg, nil
	case slot.failure == errExpired:
		return nil, c.unanswered(slot, r, nil)
	default:
		return nil, slot.failure
	}
}

// unanswered is the error of a request that was sent and not answered.
func (c *Conn) unanswered(slot *replySlot, r *request, err error) *Error {
	if errors.Is(err, context.Canceled) {
		return because(err, CodeCanceled, "canceled by the caller while waiting for "+*r.subject)
	}
	e := because(context.DeadlineExceeded, CodeDeadlineExceeded, "no reply on "+*r.subject+" before the deadline; whether the handler ran is unknown")
	if stream := slot.auditor(); stream != "" {
		e.st.Message += "; only the stream " + stream + " has answered, which stores what is sent there"
	}
	denied, hint := c.lastDenial(*r.subject)
	if denied != nil {
		return denied
	}
	e.st.Message += hint
	return e
}

// lastDenial looks at the last error of the connection for the reason why nothing was
// answered on a subject. On a connection that Connect did not make, that is where a
// missing permission shows, unless another one came after it: the hint says so then.
func (c *Conn) lastDenial(subject string) (denied *Error, hint string) {
	last := c.lastError()
	switch other, ok := deniedPublish(last); {
	case !ok:
	case other == subject:
		return permissionError(subject, last), ""
	case !c.owned:
		return nil, "; NATS does not allow this user to publish to " + other +
			", and maybe not this either: look at what the nats.ErrorHandler of the connection is told, or use aegis.Connect"
	}
	return nil, ""
}
