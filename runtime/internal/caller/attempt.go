package caller

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
)

// Choice is what the options of a call say of its way.
type Choice struct {
	Instance     string // the one instance that may be called; "" for any
	Strategy     targets.Strategy
	Key          string // for strategies that go by a key; "": the value of the proto's field
	MaxAttempts  int    // 0: the method's own
	WaitForReady bool
}

// Stream is a stream that a request opens.
type Stream interface {
	// Accepted takes the reply of a server that has not refused the stream, and the subject of
	// the request. Its status is that of the attempt.
	Accepted(msg *nats.Msg, subject string) *status.Status
}

// Answer is what a reply says beside its body.
type Answer struct {
	Wanted bool                // the caller asks for the answer; else Header is not read
	Header map[string][]string // the server's metadata
	Term   leader.Info         // that of the leader that has answered, without Since
}

// Call is a call under way: its present attempt, and what it keeps from one attempt to the
// next. It belongs to the goroutine of its caller.
type Call struct {
	*Method

	// Header has the user's metadata; nil if there are none.
	Header nats.Header
	// Deadline is that of the context, or comes after the method's timeout.
	Deadline time.Time
	// Stream is the stream that the request opens; nil for a unary call.
	Stream Stream
	// Endless says that the stream has no deadline, unlike its open.
	Endless bool
	// Answer is what the last reply says beside its body.
	Answer Answer

	ctx    context.Context //nolint:containedctx // lives as long as the call
	slot   *bus.Slot
	choice *Choice

	timed      bool // the deadline is not the context's own
	number     int  // from 1 on
	waited     bool // the call has waited for the connection or a leader
	mayHaveRun bool // a handler, at an earlier attempt

	subject *string       // where the request goes
	pick    *targets.Pick // nil if no instance is picked
	gone    *atomic.Bool  // says that the instance which was picked last is gone; nil if none is
	term    uint64        // of the leader that is called; 0: none is known
	news    uint64        // of the leader, when the attempt began
	fresh   int           // the number of the first attempt with these news
}

// Begin returns a call that has begun now. The payload of its request is in slot.
func (m *Method) Begin(ctx context.Context, slot *bus.Slot, now time.Time, choice *Choice) Call {
	m.client.o.Budget.Call(now)
	c := Call{Method: m, ctx: ctx, slot: slot, choice: choice, subject: &m.Subject, number: 1}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline, c.timed = now.Add(m.spec.Timeout), true
	}
	c.Deadline = deadline
	return c
}

// Run makes one attempt after the other, until one succeeds or there is to be no further one.
// An instance may be picked by a key in req, which may be nil. The reply of a unary call is
// read into res.
func (c *Call) Run(req, res proto.Message) *status.Status {
	if why := c.direct(req); why != nil {
		return why.WithNotRun(true)
	}
	for {
		why := c.try(res)
		if why == nil {
			return nil
		}
		c.mayHaveRun = c.mayHaveRun || !why.NotRun
		pause, again := c.pause(why)
		if !again || !c.sleep(pause) {
			return c.failed(why).WithNotRun(!c.mayHaveRun)
		}
		c.number++
		c.Figures.Retry()
		c.Answer = Answer{Wanted: c.Answer.Wanted} // the next attempt has an answer of its own
	}
}

// failed returns the status of a call whose last attempt failed.
func (c *Call) failed(why *status.Status) *status.Status {
	if err := c.ctx.Err(); errors.Is(err, context.Canceled) {
		return status.Of(err)
	}
	c.client.o.Patterns.Doubt(c.client.o.Service, why.Reason)
	if why.Reason == status.ReasonNoResponders && c.toLeader() {
		return c.leader.Unserved()
	}
	return why
}

// direct decides whether the request goes to one instance, to instances that a strategy
// picks, or to the queue group or the leader.
func (c *Call) direct(req proto.Message) *status.Status {
	o := &c.client.o
	if c.choice.Instance != "" {
		o.Void.Use(wire.KindInstance)
		subject := o.Subjects.Instance(c.choice.Instance, o.Service.Name, c.spec.Name)
		c.subject = &subject
		_, _ = c.watchTargets() // which ends the call if the instance is gone; an error does not matter
		return nil
	}
	if s := c.strategy(c.choice.Strategy); c.leader == nil && s.Kind != targets.ByQueueGroup {
		return c.beginPick(s, req)
	}
	return nil
}

// try sends the request, maybe to several instances, and waits for the reply.
func (c *Call) try(res proto.Message) *status.Status {
	switch {
	case c.pick != nil:
		return c.tryPicked(res)
	case c.toLeader():
		if why := c.findLeader(); why != nil {
			c.Figures.Failed(why)
			return why
		}
	}
	return c.send(res)
}

// send sends the request once, and counts a refusal.
func (c *Call) send(res proto.Message) *status.Status {
	why := c.sendOnce(res)
	if why != nil {
		c.Figures.Failed(why)
	}
	if c.toLeader() {
		c.leader.Answered(why)
	}
	return why
}

// sendOnce sends the request once, and waits for the reply.
func (c *Call) sendOnce(res proto.Message) *status.Status {
	r := bus.Request{
		Subject: c.subject, Message: c.message(), Payload: c.slot.Payload,
		Deadline: c.Deadline, Timed: c.timed, Cancel: c.Cancel, Gone: c.gone, Call: true, Divisible: c.Stream == nil,
		Repeat: c.repeat(),
	}
	msg, why := c.client.o.Bus.RoundTrip(c.ctx, c.slot, &r)
	for why == bus.LinkWasDown {
		c.waited = true
		r.Message = c.message() // with what is left of the time
		msg, why = c.client.o.Bus.RoundTrip(c.ctx, c.slot, &r)
	}
	if r.Waited > 0 {
		c.Figures.Wait(r.Waited)
	}
	if why != nil {
		return why
	}
	return c.read(msg, res)
}

// message returns a message with the headers that this attempt needs, or nil if it needs
// none.
func (c *Call) message() *nats.Msg {
	var millis int64
	if !c.Endless && (!c.timed || c.number > 1 || c.waited) {
		millis = wire.TimeoutMillis(time.Until(c.Deadline))
		if millis == c.millis {
			millis = 0 // the server knows the method's timeout
		}
	}
	switch {
	case millis == 0 && c.number == 1 && c.Header == nil:
		return nil
	case c.number == 1 && c.Header == nil:
		return c.slot.Timeout.For(millis)
	}
	if c.Header == nil {
		c.Header = make(nats.Header, 2)
	}
	if millis != 0 {
		c.Header[wire.HeaderTimeout] = []string{strconv.FormatInt(millis, 10)}
	} else {
		delete(c.Header, wire.HeaderTimeout)
	}
	if c.number > 1 {
		c.Header[wire.HeaderAttempt] = []string{strconv.Itoa(c.number)}
	}
	return &nats.Msg{Header: c.Header}
}

// read reads a reply into res, and its metadata if the caller asks for them.
func (c *Call) read(msg *nats.Msg, res proto.Message) *status.Status {
	if c.term != 0 {
		c.Answer.Term = c.termOf(c.term)
	}
	switch {
	case msg.Header == nil && bus.HeaderUnreadable(msg):
		return bus.UnreadableReply
	case msg.Header == nil:
	case bus.NoResponders(msg):
		return status.Refusal(status.Unavailable, status.ReasonNoResponders,
			"no server of %s listens on %s", c.client.o.Service.Name, *c.subject).WithNotRun(true)
	default:
		if c.Answer.Wanted {
			c.readMetadata(msg.Header)
		}
		if status.Failed(msg.Header) {
			return status.Decode(msg.Header, msg.Data)
		}
	}
	if c.Stream != nil {
		return c.Stream.Accepted(msg, *c.subject)
	}
	return ReadReply(c.name, msg.Data, res)
}

// readMetadata reads the metadata of a reply, and the term that it names.
func (c *Call) readMetadata(h nats.Header) {
	c.Answer.Header, _ = metadata.Decode(h) // headers that are no metadata are left out
	if token, err := strconv.ParseUint(h.Get(wire.HeaderTerm), 10, 64); err == nil && c.leader != nil {
		c.Answer.Term = c.termOf(token)
	}
}

func (c *Call) termOf(token uint64) leader.Info {
	return leader.Info{Service: c.client.o.Service.Name, Group: c.leader.Group, Token: token}
}

// ReadReply reads the body of a reply of a method.
func ReadReply(method string, body []byte, res proto.Message) *status.Status {
	if err := proto.Unmarshal(body, res); err != nil {
		return status.Newf(status.Internal, "the reply of %s is no valid %s: %w", method, res.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// pause decides about the attempt that failed: it returns how long to wait before the next
// one, and false if there is none.
func (c *Call) pause(why *status.Status) (time.Duration, bool) {
	failed := retry.Attempt{
		Method: c.spec, Route: c.route(), Most: c.choice.MaxAttempts, WaitForReady: c.choice.WaitForReady,
		OpensStream: c.opensStream(), Deadline: c.Deadline, Budget: c.client.o.Budget,
		Number: c.number, Fresh: c.fresh, LeaderKnown: c.term != 0, Untried: c.pick != nil && c.pick.Untried(),
	}
	d := failed.Failed(why)
	if d.AskLeader {
		c.leader.Doubt()
	}
	return d.Pause, d.Again
}

// repeat says who pays for another attempt if the connection is lost before the reply comes,
// and is nil if there may be none.
func (c *Call) repeat() *bus.Repeat {
	r := retry.Attempt{Method: c.spec, Most: c.choice.MaxAttempts, Number: c.number}
	if c.Stream != nil || !r.Repeatable() {
		return nil
	}
	return &c.client.repeat
}

// route says to whom the attempts of the call go.
func (c *Call) route() retry.Route {
	switch {
	case c.choice.Instance != "":
		return retry.ToInstance
	case c.toLeader():
		return retry.ToLeader
	case c.pick != nil:
		return retry.ToPicked
	default:
		return retry.ToQueueGroup
	}
}

// opensStream reports whether the request opens a stream. A unary call that travels in
// parts does not count: its handler runs as that of any unary call.
func (c *Call) opensStream() bool { return c.Stream != nil && c.spec.Streaming() }

// sleep pauses, and reports whether there is time left for another attempt. News of the
// leader end the pause.
func (c *Call) sleep(d time.Duration) bool {
	defer c.Figures.WaitSince(time.Now())
	if c.term != 0 {
		return c.leader.Sleep(c.ctx, c.news, d, c.Deadline)
	}
	return bus.Sleep(c.ctx, d, c.Deadline)
}
