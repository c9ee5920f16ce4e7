package aegis

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// Reply is what one instance has answered to a broadcast.
type Reply[T any] struct {
	// Instance is the name of the instance, which ToInstance takes. It is "" if
	// the broadcast itself has failed: Err says why, and no other reply follows.
	Instance string
	// Msg is the response; nil with an error.
	Msg *T
	// Err is an *Error: what the handler returned or, for an instance that has not
	// answered, CodeDeadlineExceeded at the deadline and CodeUnavailable as soon as
	// it is known to be gone. IsWireError tells the two kinds apart.
	Err error
}

// UntilReplies ends a broadcast when n instances have answered, 1 to 1,000,000,
// and at the deadline. It asks no registry who should answer, so that nobody is
// named who has not. As an option of a client it holds for its broadcasts; given to
// another call, or to a client of a service without any, it is an error.
func UntilReplies(n int) CallOption {
	return callOption(func(c *callConfig) error {
		if n < 1 || n > maxReplies {
			return invalidOption("until %d replies: use 1 to %d", n, maxReplies)
		}
		c.untilReplies, c.given.stop = n, "UntilReplies"
		return nil
	})
}

// UntilSilence ends a broadcast when nobody has answered for so long, and at the
// deadline; with UntilReplies whatever comes first. It asks no registry who
// should answer, so that nobody is named who has not. It is an error where
// UntilReplies is one.
func UntilSilence(d time.Duration) CallOption {
	return callOption(func(c *callConfig) error {
		if d <= 0 {
			return invalidOption("until silence of %v: must be positive", d)
		}
		c.untilSilence, c.given.stop = d, "UntilSilence"
		return nil
	})
}

const maxReplies = 1_000_000

// BroadcastMethod is one broadcast of a Client. It is safe for concurrent use.
type BroadcastMethod[Req, Res any] struct{ streamMethod }

// Call returns the replies of all instances, as they come. Nothing is sent until the
// result is ranged over, see CollectReplies. Each iteration sends the request once; it
// ends as soon as everybody has answered who is registered,
// and at the deadline (the context's, else the method's timeout) names those who
// have not. Leaving it early ends the contexts of the handlers that still run.
func (m *BroadcastMethod[Req, Res]) Call(ctx context.Context, req *Req, opts ...CallOption) iter.Seq[Reply[Res]] {
	return func(yield func(Reply[Res]) bool) {
		b, err := m.start(ctx, opts)
		if err != nil {
			yield(Reply[Res]{Err: err})
			return
		}
		defer b.inv.cancel()
		if b.inv.broadcast != nil {
			defer b.inv.broadcast.close()
		}
		if err := sendMessage(b, req); err != nil {
			yield(Reply[Res]{Err: asError(err)})
			return
		}
		for {
			r, more := nextReply[Res](b)
			if r != nil && !yield(*r) || !more {
				return
			}
		}
	}
}

// nextReply reads one reply.
func nextReply[Res any](b *begun) (reply *Reply[Res], more bool) {
	from := ""
	if b.inv.broadcast != nil {
		b.inv.broadcast.from = ""
	}
	res, err := recvMessage[Res](b)
	if b.inv.broadcast != nil {
		from = b.inv.broadcast.from
	}
	switch {
	case err == io.EOF: //nolint:errorlint // only the end itself is one
		return nil, false
	case err != nil:
		return &Reply[Res]{Instance: from, Err: asError(err)}, from != ""
	default:
		return &Reply[Res]{Instance: from, Msg: res}, true
	}
}

// broadcast is what the innermost interceptor calls.
func (m *streamMethod) broadcast(ctx context.Context) (Stream, error) {
	inv, ok := ctx.Value(invocationKey{}).(*invocation)
	if !ok {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s passed on a context that does not derive from its own", m.spec.name())
	}
	if inv.cfg.instance != "" {
		return nil, Errorf(CodeInvalidArgument, "%s goes to all instances, not to %s alone", m.spec.name(), inv.cfg.instance)
	}
	inv.broadcast = &broadcast{
		method: m, ctx: ctx, cfg: inv.cfg, call: inv.call,
		news: make(chan struct{}, 1), members: make(map[string]*member), answered: make(map[string]bool),
	}
	return inv.broadcast, nil
}

// broadcast is a broadcast under way: a stream with one message to all, and a
// message back from each. It runs in the goroutine of its caller.
type broadcast struct {
	method *streamMethod
	ctx    context.Context //nolint:containedctx // the call's
	cfg    *callConfig
	call   *Call
	sent   bool
	from   string // who sent what Recv returned last; "" if nobody did

	members  map[string]*member // those who have not answered
	answered map[string]bool
	heard    time.Time // the last reply
	asked    time.Time // members that are silent
	reply    string
	stop     func() // ends the taking of replies
	unwatch  func() // as above, of what NATS refuses

	news    chan struct{} // of one: something has come
	mu      sync.Mutex
	queue   []*nats.Msg
	nobody  bool   // NATS says that nobody listens
	refused *Error // NATS does not let this user send the broadcast
	unasked string // where NATS does not let this user ask whether a member is there
}

// Send sends the request.
func (b *broadcast) Send(req proto.Message) error {
	m := b.method
	if b.sent {
		return Errorf(CodeInternal, "%s has one request, and another one was sent", m.spec.name())
	}
	b.sent = true
	payload, err := proto.Marshal(req)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", m.spec.name(), err)
	}
	header := make(nats.Header, len(b.call.request)+1)
	if err := b.call.request.encodeTo(header); err != nil {
		return err
	}
	conn := m.client.conn
	conn.void.Use(wire.KindAll)
	if b.cfg.untilReplies == 0 && b.cfg.untilSilence == 0 {
		if err := b.findMembers(); err != nil {
			return err
		}
	}
	b.reply, b.stop = conn.bus.Collect(b.take)
	b.unwatch = conn.bus.Denials.Watch(b.concerns, b.deny)
	for {
		b.heard = time.Now()
		switch err := b.publish(header, payload); {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrReconnectBufExceeded): // nothing was sent
			deadline, _ := b.ctx.Deadline()
			if err := conn.awaitLink(b.ctx, m.subject, deadline); err != nil {
				return err
			}
		default:
			return conn.publishError(&bus.Request{Subject: &m.subject, Payload: payload, Call: true}, err)
		}
	}
}

func (b *broadcast) publish(h nats.Header, payload []byte) error {
	deadline, _ := b.ctx.Deadline()
	h[wire.HeaderTimeout] = []string{wire.FormatTimeout(time.Until(deadline))}
	return b.method.client.conn.nc.PublishMsg(&nats.Msg{Subject: b.method.subject, Reply: b.reply, Header: h, Data: payload})
}

// take takes what comes for the broadcast, in the one goroutine of the replies.
func (b *broadcast) take(msg *nats.Msg) {
	b.mu.Lock()
	if bus.NoResponders(msg) {
		b.nobody = true
	} else {
		b.queue = append(b.queue, msg)
	}
	b.mu.Unlock()
	b.wake()
}

func (b *broadcast) wake() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// Recv returns the next reply.
func (b *broadcast) Recv(res proto.Message) error {
	if !b.sent {
		return Errorf(CodeInternal, "%s has a request, which has to be sent before anything is received", b.method.spec.name())
	}
	for {
		if err := b.denied(); err != nil {
			b.from = ""
			b.close()
			return err
		}
		if msg := b.next(); msg != nil && !b.enough() {
			if b.from = wire.HeaderValue(msg.Header, wire.HeaderInstance); b.from == "" || b.answered[b.from] {
				b.from = ""
				continue // it is nobody's, or was sent twice
			}
			return b.read(msg, res)
		}
		if name, err := b.lost(); name != "" {
			b.from = name
			return err
		}
		if b.method.client.conn.closed() && b.awaits() {
			b.from = ""
			b.close()
			return connClosed()
		}
		if b.complete() {
			b.close()
			if b.unheard() {
				err := refusal(CodeUnavailable, ReasonNoResponders, "no server of %s listens on %s", b.method.spec.Service, b.method.subject).notRun(true)
				b.method.client.conn.patterns.Doubt(b.method.client.service, err.Reason())
				return err
			}
			return io.EOF
		}
		if err := b.wait(); err != nil {
			return err
		}
	}
}

func (b *broadcast) next() *nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return nil
	}
	msg := b.queue[0]
	b.queue = b.queue[1:]
	return msg
}

// read reads the reply of b.from.
func (b *broadcast) read(msg *nats.Msg, res proto.Message) error {
	b.heard = time.Now()
	b.answered[b.from] = true
	b.forget(b.from)
	if failed(msg) {
		return decodeError(msg)
	}
	if err := proto.Unmarshal(msg.Data, res); err != nil {
		return Errorf(CodeInternal, "the reply of %s to %s is no valid %s: %w", b.from, b.method.spec.name(), res.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// complete reports whether nobody else is awaited.
func (b *broadcast) complete() bool {
	b.mu.Lock()
	nobody := b.nobody
	b.mu.Unlock()
	switch {
	case nobody:
		return true
	case b.enough():
		return true
	case b.cfg.untilSilence > 0:
		return time.Since(b.heard) >= b.cfg.untilSilence
	default:
		return b.cfg.untilReplies == 0 && len(b.members) == 0
	}
}

// awaits reports whether somebody may answer yet.
func (b *broadcast) awaits() bool {
	return b.cfg.untilSilence > 0 && !b.enough() || !b.complete()
}

// enough reports whether as many have answered as were asked for.
func (b *broadcast) enough() bool {
	return b.cfg.untilReplies > 0 && len(b.answered) >= b.cfg.untilReplies
}

// unheard reports whether nobody is there at all.
func (b *broadcast) unheard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nobody && len(b.answered) == 0
}

// wait waits for news. At the deadline it returns the error for one that has not
// answered; for the last, io.EOF.
func (b *broadcast) wait() error {
	timer := time.NewTimer(b.untilLook())
	defer timer.Stop()
	select {
	case <-b.news:
	case <-timer.C:
		b.askMembers()
	case <-b.method.client.conn.ctx.Done():
	case <-b.ctx.Done():
		return b.ended()
	}
	return nil
}

// untilLook is how long nothing can happen that has not to be waited for.
func (b *broadcast) untilLook() time.Duration {
	if b.cfg.untilSilence > 0 {
		return b.cfg.untilSilence - time.Since(b.heard)
	}
	if b.asked.IsZero() {
		return askMemberAfter - time.Since(b.heard)
	}
	return askMemberEvery - time.Since(b.asked)
}

// ended is what Recv returns once the context has.
func (b *broadcast) ended() error {
	err := b.ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		b.from = ""
		b.close()
		return asError(err)
	}
	denied, hint := b.method.client.conn.lastDenial(b.method.subject)
	if denied != nil && len(b.answered) == 0 {
		b.from = ""
		b.close()
		return denied
	}
	for name := range b.members {
		b.answered[name] = true
		b.forget(name)
		b.from = name
		message := name + " has not answered " + b.method.spec.name() + " before the deadline; whether its handler ran is unknown"
		if subject := b.mayNotAsk(); subject != "" {
			message += "; NATS does not allow this user to ask whether it is there: add " + subject + " to the user's permissions"
		}
		return because(err, CodeDeadlineExceeded, message+hint)
	}
	return io.EOF
}

// CloseSend does nothing: there is one request.
func (b *broadcast) CloseSend() error { return nil }

// close ends the broadcast. Handlers that still run learn that nobody waits for
// them, unless their deadline has told them.
func (b *broadcast) close() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.unwatch()
	b.stop = nil
	left := len(b.members) > 0 || b.cfg.untilReplies > 0 || b.cfg.untilSilence > 0
	if left && b.denied() == nil && !errors.Is(b.ctx.Err(), context.DeadlineExceeded) {
		_ = b.method.client.conn.nc.Publish(b.method.cancel, []byte(b.reply)) // else the deadline ends them
	}
	for name := range b.members {
		b.forget(name)
	}
}
