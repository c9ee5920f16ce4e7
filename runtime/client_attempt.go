package aegis

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
	"github.com/aegisrpc/aegis/runtime/internal/targets"
)

// attempt is the present attempt of a call, with what the call keeps from one attempt to
// the next. It belongs to the goroutine of the caller.
type attempt struct {
	*clientMethod
	ctx  context.Context //nolint:containedctx // lives as long as the call
	slot *bus.Slot
	cfg  *callConfig
	call *Call // nil if the caller has asked for no metadata

	headers    nats.Header // the user's metadata, nil if there is none
	deadline   time.Time
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

	stream  *clientStream // to be opened by the request; nil for a unary call
	endless bool          // the stream has no deadline, unlike its open
}

// run makes one attempt after the other, until one succeeds or there is to be no further
// one.
func (a *attempt) run(res proto.Message) *Error {
	for {
		e := a.try(res)
		if e == nil {
			return nil
		}
		a.mayHaveRun = a.mayHaveRun || !e.st.NotRun
		pause, again := a.pause(e)
		if !again || !a.sleep(pause) {
			return a.failed(e).notRun(!a.mayHaveRun)
		}
		a.number++
		a.figures.Retry()
		if a.call != nil { // the next attempt has an answer of its own
			a.call.response, a.call.term = nil, Term{}
		}
	}
}

// failed returns the error of a call whose last attempt failed with e.
func (a *attempt) failed(e *Error) *Error {
	if errors.Is(a.ctx.Err(), context.Canceled) {
		return asError(a.ctx.Err())
	}
	a.client.conn.patterns.Doubt(a.client.service, e.Reason())
	if e.Reason() == ReasonNoResponders && a.toLeader() {
		return outward(a.leader.Unserved())
	}
	return e
}

// newAttempt returns the first attempt of a call that has begun now.
func (m *clientMethod) newAttempt(ctx context.Context, slot *bus.Slot, now time.Time, cfg *callConfig, call *Call) (attempt, *Error) {
	a := attempt{clientMethod: m, ctx: ctx, slot: slot, cfg: cfg, call: call, subject: &m.subject, number: 1}
	var ok bool
	if a.deadline, ok = ctx.Deadline(); !ok {
		a.deadline = now.Add(m.method.Timeout)
		a.timed = true
	}
	if call != nil {
		call.method = m.public
		call.response, call.term = nil, Term{}
		if len(call.request) > 0 {
			a.headers = make(nats.Header, len(call.request)+2)
			if err := call.request.encodeTo(a.headers); err != nil {
				return a, err
			}
		}
	}
	return a, nil
}

// toLeader reports whether the call goes to the leader of a group.
func (a *attempt) toLeader() bool { return a.leader != nil && a.cfg.instance == "" }

// direct decides whether the request goes to one instance, to instances that a strategy
// picks, or to the queue group or the leader.
func (a *attempt) direct(req proto.Message) *Error {
	if a.cfg.instance != "" {
		conn := a.client.conn
		conn.void.Use(wire.KindInstance)
		subject := conn.subjects.Instance(a.cfg.instance, a.public.Service, a.public.Name)
		a.subject = &subject
		_, _ = a.watchTargets() // which ends the call if the instance is gone; an error does not matter
		return nil
	}
	if s := a.strategyOf(a.cfg); a.leader == nil && s.Kind != targets.ByQueueGroup {
		return a.beginPick(s, req)
	}
	return nil
}

// try sends the request, maybe to several instances, and waits for the reply.
func (a *attempt) try(res proto.Message) *Error {
	switch {
	case a.pick != nil:
		return a.tryPicked(res)
	case a.toLeader():
		if err := a.findLeader(); err != nil {
			a.figures.Failed(&err.st)
			return err
		}
	}
	return a.send(res)
}

// send sends the request once, and counts a refusal.
func (a *attempt) send(res proto.Message) *Error {
	err := a.sendOnce(res)
	if err != nil {
		a.figures.Failed(&err.st)
	}
	if a.toLeader() {
		a.leader.Answered(err.inward())
	}
	return err
}

// sendOnce sends the request once, and waits for the reply.
func (a *attempt) sendOnce(res proto.Message) *Error {
	r := bus.Request{
		Subject: a.subject, Message: a.message(), Payload: a.slot.Payload,
		Deadline: a.deadline, Timed: a.timed, Cancel: a.cancel, Gone: a.gone, Call: true, Divisible: a.stream == nil,
		Repeat: a.repeat(),
	}
	msg, err := a.client.conn.roundTrip(a.ctx, a.slot, &r)
	for err == errLinkWasDown {
		a.waited = true
		r.Message = a.message() // with what is left of the time
		msg, err = a.client.conn.roundTrip(a.ctx, a.slot, &r)
	}
	if r.Waited > 0 {
		a.figures.Wait(r.Waited)
	}
	if err != nil {
		return err
	}
	return a.decode(msg, res)
}

// findLeader makes the subject that of the leader's term. It waits until that is known.
func (a *attempt) findLeader() *Error {
	a.readNews()
	if a.term == 0 {
		a.waited = true
		begun := time.Now()
		defer a.figures.WaitSince(begun)
		a.leader.Doubt() // NATS may have refused to let this user ask, and allow it by now
		if why := a.leader.Await(a.ctx, 0, a.deadline); why != nil {
			return outward(why).notRun(true)
		}
		if a.readNews(); a.term == 0 {
			a.leader.Missed(begun)
			if err := a.ctx.Err(); errors.Is(err, context.Canceled) {
				return asError(err).notRun(true)
			}
			return refusal(CodeUnavailable, ReasonNotActive, "nobody is known to lead %s, group %s", a.public.Service, a.leader.Group).notRun(true)
		}
	}
	led := a.led.Load()
	if led == nil || led.term != a.term {
		led = &termSubject{a.term, a.client.conn.subjects.Lead(a.public.Service, a.public.Name, a.leader.Group, a.term)}
		a.led.Store(led)
	}
	a.subject = &led.subject
	return nil
}

// readNews reads which leader is known. It reads the news before the term, so that a term
// that comes in between wakes this attempt.
func (a *attempt) readNews() {
	if news := a.leader.News(); news != a.news {
		a.news, a.fresh = news, a.number
	}
	a.term = a.leader.Term()
}

// message returns a message with the headers that this attempt needs, or nil if it needs
// none.
func (a *attempt) message() *nats.Msg {
	var millis int64
	if !a.endless && (!a.timed || a.number > 1 || a.waited) {
		millis = wire.TimeoutMillis(time.Until(a.deadline))
		if millis == a.millis {
			millis = 0 // the server knows the method's timeout
		}
	}
	switch {
	case millis == 0 && a.number == 1 && a.headers == nil:
		return nil
	case a.number == 1 && a.headers == nil:
		return a.slot.Timeout.For(millis)
	}
	if a.headers == nil {
		a.headers = make(nats.Header, 2)
	}
	if millis != 0 {
		a.headers[wire.HeaderTimeout] = []string{strconv.FormatInt(millis, 10)}
	} else {
		delete(a.headers, wire.HeaderTimeout)
	}
	if a.number > 1 {
		a.headers[wire.HeaderAttempt] = []string{strconv.Itoa(a.number)}
	}
	return &nats.Msg{Header: a.headers}
}

// decode reads a reply into res and the call's response header.
func (a *attempt) decode(msg *nats.Msg, res proto.Message) *Error {
	if a.call != nil && a.term != 0 {
		a.call.term = Term{Service: a.public.Service, Group: a.leader.Group, Token: a.term}
	}
	if msg.Header != nil {
		if bus.NoResponders(msg) {
			return refusal(CodeUnavailable, ReasonNoResponders, "no server of %s listens on %s", a.public.Service, *a.subject).notRun(true)
		}
		if a.call != nil {
			a.call.response, _ = decodeHeader(msg.Header) // headers that are no metadata are left out
			if t, err := strconv.ParseUint(msg.Header.Get(wire.HeaderTerm), 10, 64); err == nil && a.leader != nil {
				a.call.term = Term{Service: a.public.Service, Group: a.leader.Group, Token: t}
			}
		}
		if failed(msg) {
			return decodeError(msg)
		}
	} else if bus.HeaderUnreadable(msg) {
		return errReplyHeader
	}
	if a.stream != nil {
		return a.stream.accepted(msg, *a.subject)
	}
	if err := proto.Unmarshal(msg.Data, res); err != nil {
		return Errorf(CodeInternal, "the reply of %s is no valid %s: %w", a.public.FullName(), res.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}
