package aegis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
)

// Client is what the generated clients are made of. It is safe for concurrent
// use.
type Client struct {
	conn    *Conn
	service *spec.Service
	cfg     clientConfig
	budget  *retry.Budget
	targets *targets.Tables
	leaders map[string]*leaderview.View // by group
}

// followLeaders begins to know who leads the groups of the service.
func (c *Client) followLeaders() error {
	c.leaders = make(map[string]*leaderview.View)
	for _, m := range c.service.Methods {
		if m.Pattern != spec.SingleActive || c.leaders[m.Group] != nil {
			continue
		}
		view, err := c.conn.leaders.Of(c.service.Name, m.Group)
		if err != nil {
			return fmt.Errorf("aegis: subscribe to who leads %s, group %s: %w", c.service.Name, m.Group, err)
		}
		c.leaders[m.Group] = view
		c.conn.void.Use(wire.KindLead)
	}
	return nil
}

// UnaryMethod is one unary method of a Client. It is safe for concurrent use.
type UnaryMethod[Req, Res any] struct {
	clientMethod
	// intercepted is the call with its interceptors; nil without any.
	intercepted UnaryFunc
}

// clientMethod is what does not depend on the message types.
type clientMethod struct {
	client  *Client
	method  *spec.Method
	spec    Spec
	subject string
	cancel  string
	millis  int64 // the method's own timeout

	keyField keyfield.Path
	targets  *atomic.Pointer[targets.Method] // nil before the first call that needs it

	leader *leaderview.View             // nil unless the method is single active
	led    *atomic.Pointer[termSubject] // where the leader of the last term known is called
}

// termSubject is the subject of a term.
type termSubject struct {
	term    uint64
	subject string
}

func newClientMethod(c *Client, name protoreflect.Name) clientMethod {
	m := clientMethod{
		client: c, spec: Spec{Service: c.service.Name, Method: string(name)}, targets: new(atomic.Pointer[targets.Method]),
	}
	method := c.service.Method(string(name))
	if method == nil {
		return m // config says so
	}
	m.method = method
	m.spec = publicSpec(c.service, method)
	m.subject = c.conn.subjects.Call(c.service.Name, method.Name)
	m.cancel = c.conn.subjects.Cancel(c.service.Name)
	if method.Timeout > 0 {
		m.millis = wire.TimeoutMillis(method.Timeout)
	}
	m.keyField = keyfield.New(method.StickyField)
	if method.Pattern == spec.SingleActive {
		m.leader, m.led = c.leaders[method.Group], new(atomic.Pointer[termSubject])
	}
	return m
}

// Call calls the method. The deadline is that of ctx, else the method's timeout
// from now. The error is an *Error.
func (u *UnaryMethod[Req, Res]) Call(ctx context.Context, req *Req, opts ...CallOption) (*Res, error) {
	cfg, err := u.config(opts)
	if err != nil {
		return nil, err
	}
	if u.intercepted != nil {
		return u.callIntercepted(ctx, req, cfg)
	}
	res := new(Res)
	//nolint:forcetypeassert // generated code passes messages
	err = u.invoke(ctx, any(req).(proto.Message), any(res).(proto.Message), cfg, outgoingCall(ctx))
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (u *UnaryMethod[Req, Res]) callIntercepted(ctx context.Context, req *Req, cfg *callConfig) (*Res, error) {
	inv := &invocation{Context: ctx, call: outgoingCall(ctx), cfg: cfg}
	if inv.call == nil {
		inv.own.attempt = 1
		inv.call = &inv.own
	}
	inv.call.spec = u.spec
	out, err := u.intercepted(inv, any(req).(proto.Message)) //nolint:forcetypeassert // see Call
	if err != nil {
		return nil, asError(err)
	}
	res, ok := any(out).(*Res)
	if !ok || res == nil {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s returned %T without an error in place of %T", u.spec.name(), out, res)
	}
	return res, nil
}

// inside is what the innermost interceptor calls.
func (u *UnaryMethod[Req, Res]) inside(ctx context.Context, req proto.Message) (proto.Message, error) {
	inv, ok := ctx.Value(invocationKey{}).(*invocation)
	if !ok {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s passed on a context that does not derive from its own", u.spec.name())
	}
	if _, ok := any(req).(*Req); !ok {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s passed on a request of type %T", u.spec.name(), req)
	}
	res := new(Res)
	if err := u.invoke(ctx, req, any(res).(proto.Message), inv.cfg, inv.call); err != nil { //nolint:forcetypeassert // see Call
		return nil, err
	}
	return any(res).(proto.Message), nil //nolint:forcetypeassert // see Call
}

type invocationKey struct{}

// invocation is the context that the interceptors of a client see: the call is
// the current one, and a further call made from within them does not inherit
// its metadata.
type invocation struct {
	context.Context //nolint:containedctx // it is a context
	call            *Call
	own             Call // what call is, unless the caller has made one
	cfg             *callConfig
	cancel          context.CancelFunc // of a stream
	opened          openedStream       // by the innermost interceptor; nil if that was not called
}

// openedStream is what lies beneath the interceptors of a stream or a broadcast.
type openedStream interface {
	Stream
	// drop ends it at this end, because of why, unless it has ended.
	drop(why *Error)
}

func (i *invocation) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return i.call
	case invocationKey:
		return i
	case outgoingKey:
		return nil
	default:
		return i.Context.Value(key)
	}
}

func (m *clientMethod) config(opts []CallOption) (*callConfig, error) {
	if m.method == nil {
		return nil, Errorf(CodeUnimplemented, "%s is not in the descriptor of the service: the generated files of messages and services "+
			"are of different versions; run buf generate", m.spec.name()).notRun(true)
	}
	if len(opts) == 0 {
		return &m.client.cfg.call, nil
	}
	cfg := m.client.cfg.call
	cfg.given = givenOptions{}
	for i, o := range opts {
		if o == nil {
			return nil, Errorf(CodeInvalidArgument, "%w", nilOption(i)).notRun(true)
		}
		if err := o.applyCall(&cfg); err != nil {
			return nil, Errorf(CodeInvalidArgument, "%w", err).notRun(true)
		}
	}
	if err := cfg.given.check(m.method); err != nil {
		return nil, Errorf(CodeInvalidArgument, "%w", err).notRun(true)
	}
	return &cfg, nil
}

// invoke marshals the request once and tries it as often as that is safe.
func (m *clientMethod) invoke(ctx context.Context, req, res proto.Message, cfg *callConfig, call *Call) error {
	if m.method.MaxMessageBytes > 0 {
		return m.invokeInParts(ctx, req, res, cfg, call)
	}
	if err := ctx.Err(); err != nil {
		return asError(err).notRun(true)
	}
	now := time.Now()
	m.client.budget.Call(now)
	conn := m.client.conn
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], req); err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", m.spec.name(), err).notRun(true)
	}
	a, e := m.newAttempt(ctx, slot, now, cfg, call)
	if e == nil {
		e = a.direct(req)
	}
	if e != nil {
		return e.notRun(true)
	}
	return a.run(res)
}

// run tries until that has an end.
func (a *attempt) run(res proto.Message) error {
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
		if a.call != nil { // what the last attempt was answered is not what the next one will be
			a.call.response, a.call.term = nil, Term{}
		}
	}
}

// failed is the error of the call whose last attempt failed with e.
func (a *attempt) failed(e *Error) *Error {
	if errors.Is(a.ctx.Err(), context.Canceled) {
		return asError(a.ctx.Err())
	}
	a.client.conn.patterns.Doubt(a.client.service, e.Reason())
	if e.Reason() == ReasonNoResponders && a.leader != nil && a.cfg.instance == "" {
		return outward(a.leader.Unserved())
	}
	return e
}

// attempt is the state of one call between its tries.
type attempt struct {
	*clientMethod
	ctx     context.Context //nolint:containedctx // lives as long as the call
	slot    *bus.Slot
	cfg     *callConfig
	call    *Call // nil if nobody asked for metadata
	subject *string
	pick    *targets.Pick // nil if no instance is picked
	gone    *atomic.Bool  // says that the instance which was picked last is gone
	headers nats.Header   // the user's metadata, nil if there is none

	deadline time.Time
	timed    bool          // the deadline is not the context's own
	number   int           // from 1 on
	waited   bool          // for the connection or a leader, before it was sent
	term     uint64        // of the leader that is called
	stream   *clientStream // that is to be opened; nil for a unary call
	endless  bool          // the stream has no deadline, its open has
	news     uint64        // of who leads, when this attempt began
	fresh    int           // the first attempt with these news

	mayHaveRun bool // a handler, at an attempt that failed
}

func (m *clientMethod) newAttempt(ctx context.Context, slot *bus.Slot, now time.Time, cfg *callConfig, call *Call) (attempt, *Error) {
	a := attempt{clientMethod: m, ctx: ctx, slot: slot, cfg: cfg, call: call, subject: &m.subject, number: 1}
	var ok bool
	if a.deadline, ok = ctx.Deadline(); !ok {
		a.deadline = now.Add(m.method.Timeout)
		a.timed = true
	}
	if call != nil {
		call.spec = m.spec
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

// direct decides to whom the request goes, where it is not the queue group.
func (a *attempt) direct(req proto.Message) *Error {
	if a.cfg.instance != "" {
		conn := a.client.conn
		conn.void.Use(wire.KindInstance)
		subject := conn.subjects.Instance(a.cfg.instance, a.spec.Service, a.spec.Method)
		a.subject = &subject
		_, _ = a.watchTargets() // to hear of it if the instance is gone; not needed for the call
		return nil
	}
	if s := a.strategyOf(a.cfg); a.leader == nil && s.Kind != targets.ByQueueGroup {
		return a.beginPick(s, req)
	}
	return nil
}

// try sends the request and waits for its reply.
func (a *attempt) try(res proto.Message) *Error {
	switch {
	case a.pick != nil:
		return a.tryPicked(res)
	case a.leader != nil && a.cfg.instance == "":
		if err := a.findLeader(); err != nil {
			return err
		}
	}
	return a.send(res)
}

// send sends the request once.
func (a *attempt) send(res proto.Message) *Error {
	r := bus.Request{
		Subject: a.subject, Message: a.message(), Payload: a.slot.Payload,
		Deadline: a.deadline, Timed: a.timed, Cancel: a.cancel, Gone: a.gone, Call: true, Divisible: a.stream == nil,
	}
	msg, err := a.client.conn.roundTrip(a.ctx, a.slot, &r)
	for err == errLinkWasDown {
		a.waited = true
		r.Message = a.message() // less time is left than it said
		msg, err = a.client.conn.roundTrip(a.ctx, a.slot, &r)
	}
	if err != nil {
		return err
	}
	return a.decode(msg, res)
}

// findLeader sets the subject to that of the leader's term, once that is known.
func (a *attempt) findLeader() *Error {
	a.readNews()
	if a.term == 0 {
		a.waited = true
		a.leader.Doubt() // it may have been refused before, and be allowed by now
		if why := a.leader.Await(a.ctx, 0, a.deadline); why != nil {
			return outward(why).notRun(true)
		}
		if a.readNews(); a.term == 0 {
			if err := a.ctx.Err(); errors.Is(err, context.Canceled) {
				return asError(err).notRun(true)
			}
			return refusal(CodeUnavailable, ReasonNotActive, "nobody is known to lead %s, group %s", a.spec.Service, a.leader.Group).notRun(true)
		}
	}
	led := a.led.Load()
	if led == nil || led.term != a.term {
		led = &termSubject{a.term, a.client.conn.subjects.Lead(a.spec.Service, a.spec.Method, a.leader.Group, a.term)}
		a.led.Store(led)
	}
	a.subject = &led.subject
	return nil
}

// readNews reads who leads. The news come before the term: what comes later wakes
// this attempt.
func (a *attempt) readNews() {
	if news := a.leader.News(); news != a.news {
		a.news, a.fresh = news, a.number
	}
	a.term = a.leader.Term()
}

// message returns the request with the headers that this attempt needs, or nil
// if it needs none.
func (a *attempt) message() *nats.Msg {
	var millis int64
	if !a.endless && (!a.timed || a.number > 1 || a.waited) {
		millis = wire.TimeoutMillis(time.Until(a.deadline))
		if millis == a.millis {
			millis = 0 // both sides know it
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
		a.call.term = Term{Service: a.spec.Service, Group: a.leader.Group, Token: a.term}
	}
	if msg.Header != nil {
		if bus.NoResponders(msg) {
			return refusal(CodeUnavailable, ReasonNoResponders, "no server of %s listens on %s", a.spec.Service, *a.subject).notRun(true)
		}
		if a.call != nil {
			a.call.response, _ = decodeHeader(msg.Header) // what is no metadata is left out
			if t, err := strconv.ParseUint(msg.Header.Get(wire.HeaderTerm), 10, 64); err == nil && a.leader != nil {
				a.call.term = Term{Service: a.spec.Service, Group: a.leader.Group, Token: t}
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
		return Errorf(CodeInternal, "the reply of %s is no valid %s: %w", a.spec.name(), res.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}
