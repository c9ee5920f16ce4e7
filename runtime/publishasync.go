package aegis

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
)

// PubFuture is the outcome of an event that was published with an Async method.
// It is safe for concurrent use.
type PubFuture struct {
	subject  string
	header   nats.Header
	payload  []byte
	again    bool // sending it twice stores it once
	deadline time.Time
	sent     time.Time // guarded by the publisher's mutex, as is the next one
	refused  bool      // by nobody's being there; nothing is stored

	done chan struct{}
	ack  *PubAck
	err  error
}

// Done is closed when the outcome is known, at the latest when publishing would
// have timed out.
func (f *PubFuture) Done() <-chan struct{} { return f.done }

// Ack waits for the outcome. The error is an *Error, or that of ctx if it ends
// first, which does not take the event back.
func (f *PubFuture) Ack(ctx context.Context) (*PubAck, error) {
	select {
	case <-f.done:
		return f.ack, f.err
	default:
	}
	select {
	case <-f.done:
		return f.ack, f.err
	case <-ctx.Done():
		return nil, asError(ctx.Err())
	}
}

// asyncPublisher knows what is in flight. All acknowledgements come over one
// subscription, and one goroutine looks after those that do not come, so that an
// event costs neither a timer nor a goroutine.
type asyncPublisher struct {
	publisher *Publisher
	room      chan struct{} // has an element for each event in flight

	mu      sync.Mutex
	sub     *nats.Subscription // nil before the first event
	prefix  string             // of reply subjects
	pending map[uint64]*PubFuture
	next    uint64
}

const asyncTick = 100 * time.Millisecond

func (a *asyncPublisher) init(p *Publisher) {
	a.publisher = p
	a.room = make(chan struct{}, p.cfg.maxInFlight)
	a.pending = make(map[uint64]*PubFuture)
}

// start subscribes to acknowledgements. a.mu is held.
func (a *asyncPublisher) start() *Error {
	if a.sub != nil {
		return nil
	}
	conn := a.publisher.conn
	a.prefix = conn.nc.NewInbox() + "."
	sub, err := conn.nc.Subscribe(a.prefix+"*", a.acknowledged)
	if err != nil {
		return Errorf(CodeInternal, "cannot subscribe to acknowledgements: %w", err)
	}
	_ = sub.SetPendingLimits(-1, -1) // what is pending is bounded by what is in flight
	if !conn.start(func() { a.watch(conn.ctx) }) {
		_ = sub.Unsubscribe() // the connection is closed
		return connClosed()
	}
	a.sub = sub
	return nil
}

func (e *eventMethod) publishAsync(p *publication, msg proto.Message, header nats.Header) *Error {
	a := &e.publisher.async
	payload, err := proto.Marshal(msg)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the event %s cannot be marshalled: %w", e.spec.name(), err)
	}
	if err := a.enter(p, p.deadline); err != nil {
		return err
	}
	f := &PubFuture{
		subject: *e.subject(msg), header: header, payload: payload, again: p.cfg.id != "",
		deadline: time.Now().Add(e.publisher.timeout()), done: make(chan struct{}),
	}
	if err := a.publish(p, f, p.deadline); err != nil {
		<-a.room
		return err
	}
	p.future = f
	return nil
}

// enter waits for room.
func (a *asyncPublisher) enter(ctx context.Context, deadline time.Time) *Error {
	select {
	case a.room <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case a.room <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		if time.Now().Before(deadline) {
			return asError(ctx.Err())
		}
	}
	return Errorf(CodeResourceExhausted, "%d events of %s are in flight, as many as may be, and none was acknowledged before the deadline; "+
		"nothing was published", cap(a.room), a.publisher.service.Name)
}

// publish sends an event for the first time.
func (a *asyncPublisher) publish(ctx context.Context, f *PubFuture, deadline time.Time) *Error {
	conn := a.publisher.conn
	r := request{subject: &f.subject, payload: f.payload, deadline: deadline}
	for {
		if !conn.linkUp() {
			if err := conn.awaitLink(ctx, &r); err != nil {
				return err
			}
		}
		a.mu.Lock()
		if err := a.start(); err != nil {
			a.mu.Unlock()
			return err
		}
		a.next++
		id := a.next
		f.sent = time.Now()
		a.pending[id] = f
		// Within the lock, so that events are sent in the order in which they are
		// published.
		err := a.send(id, f)
		if err != nil {
			delete(a.pending, id)
		}
		a.mu.Unlock()
		if err == nil {
			return nil
		}
		if failure := publishFailed(conn, &r, err); failure.code != CodeInternal || conn.nc.IsConnected() {
			return failure
		}
		conn.link.doubt() // the connection went down after the look at it
	}
}

func (a *asyncPublisher) send(id uint64, f *PubFuture) error {
	reply := a.prefix + strconv.FormatUint(id, 36)
	if f.header == nil {
		return a.publisher.conn.nc.PublishRequest(f.subject, reply, f.payload)
	}
	return a.publisher.conn.nc.PublishMsg(&nats.Msg{Subject: f.subject, Reply: reply, Header: f.header, Data: f.payload})
}

// acknowledged takes JetStream's answers.
func (a *asyncPublisher) acknowledged(msg *nats.Msg) {
	id, err := strconv.ParseUint(msg.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return
	}
	ack, failure := parsePubAck(msg)
	a.mu.Lock()
	f := a.pending[id]
	if f == nil {
		a.mu.Unlock()
		return
	}
	if failure != nil && failure.reason == ReasonNoResponders {
		f.refused = true // watch sends it again
		a.mu.Unlock()
		return
	}
	delete(a.pending, id)
	a.mu.Unlock()
	a.end(f, ack, failure)
}

func (a *asyncPublisher) end(f *PubFuture, ack *PubAck, failure *Error) {
	f.ack = ack
	if failure != nil {
		f.err = failure
	}
	close(f.done)
	<-a.room
}

// watch looks after what is not acknowledged, until the connection is closed.
func (a *asyncPublisher) watch(ctx context.Context) {
	ticker := time.NewTicker(asyncTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.look(ctx, time.Now())
		case <-ctx.Done():
			a.close()
			return
		}
	}
}

func (a *asyncPublisher) look(ctx context.Context, now time.Time) {
	up := a.publisher.conn.linkUp()
	var over, again []uint64
	missing := false
	a.mu.Lock()
	for id, f := range a.pending {
		switch {
		case now.After(f.deadline):
			over = append(over, id)
		case up && (f.refused || f.again && now.Sub(f.sent) > resendAfter):
			again = append(again, id)
			missing = true // perhaps; where somebody else listens, nobody says so
		}
	}
	ended := make([]*PubFuture, 0, len(over))
	for _, id := range over {
		ended = append(ended, a.pending[id])
		delete(a.pending, id)
	}
	a.mu.Unlock()
	for _, f := range ended {
		a.end(f, nil, a.unacknowledged(f))
	}
	if missing {
		a.publisher.stream.forget()
		_ = a.publisher.stream.ensureWithin(ctx, now.Add(resendAfter)) // what is sent all the same tells
	}
	slices.Sort(again) // in the order in which they were published
	a.resend(again, now)
}

func (a *asyncPublisher) resend(ids []uint64, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if f := a.pending[id]; f != nil {
			f.sent, f.refused = now, false
			_ = a.send(id, f) // again later, or the deadline ends it
		}
	}
}

func (a *asyncPublisher) unacknowledged(f *PubFuture) *Error {
	if f.refused {
		return refusal(CodeUnavailable, ReasonNoResponders, "no stream takes the message")
	}
	if last := a.publisher.conn.nc.LastError(); last != nil {
		if subject, ok := deniedPublish(last); ok && subject == f.subject {
			return permissionError(subject, last)
		}
	}
	return &Error{
		code: CodeDeadlineExceeded, cause: context.DeadlineExceeded,
		message: "no acknowledgement of " + f.subject + " before the deadline; whether the message is stored is unknown",
	}
}

// close ends what is in flight when the connection is closed.
func (a *asyncPublisher) close() {
	a.mu.Lock()
	left := slices.Collect(maps.Values(a.pending))
	clear(a.pending)
	a.mu.Unlock()
	_ = a.sub.Unsubscribe() // fails only if it is gone already
	for _, f := range left {
		a.end(f, nil, connClosed())
	}
}
