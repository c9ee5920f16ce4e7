package aegis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// PubFuture is the outcome of an event that was published with an Async method.
// It is safe for concurrent use.
type PubFuture struct {
	of       *asyncPublisher
	subject  string
	header   nats.Header
	payload  []byte
	deadline time.Time
	again    bool // sending it twice stores it once

	// The connection's asyncEvents guards these.
	refused bool // the last copy, by nobody's being there
	open    bool // an earlier copy was not answered, and may be stored
	sent    time.Time

	done chan struct{}
	ack  *PubAck
	err  error // until done is closed, the last answer that has decided nothing
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

// defaultMaxInFlight is the default of WithMaxInFlight.
const defaultMaxInFlight = 1024

// asyncPublisher is what a publisher has of its own to publish asynchronously; its
// events in flight are among the connection's.
type asyncPublisher struct {
	publisher *Publisher
	room      chan struct{} // has an element for each event in flight
	seeking   atomic.Bool   // the stream is looked for, to send again what it has not got
}

func (a *asyncPublisher) init(p *Publisher) {
	a.publisher = p
	a.room = make(chan struct{}, cmp.Or(p.cfg.maxInFlight, defaultMaxInFlight))
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
		of: a, subject: *e.subject(msg), header: header, payload: payload, again: p.cfg.id != "",
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
	r := bus.Request{Subject: &f.subject, Payload: f.payload, Deadline: deadline}
	for {
		if !conn.bus.LinkUp() {
			if err := conn.awaitLink(ctx, *r.Subject, r.Deadline); err != nil {
				return err
			}
		}
		err := conn.async.add(f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, nats.ErrReconnectBufExceeded) {
			return publishFailed(conn, &r, err)
		}
		conn.bus.Link.Doubt() // the connection went down after the look at it
	}
}

// end gives the event its outcome, and its place to another one. It is called
// once, by whoever has taken the event out of those in flight.
func (f *PubFuture) end(ack *PubAck, failure *Error) {
	f.ack, f.err = ack, errorOrNone(failure)
	close(f.done)
	<-f.of.room
}

// sendAgain looks for the stream, or makes it anew, and sends events again. Until
// that has come to an end, it is called in vain.
func (a *asyncPublisher) sendAgain(ids []uint64) {
	conn := a.publisher.conn
	if !a.seeking.CompareAndSwap(false, true) {
		return
	}
	started := conn.start(func() {
		defer a.seeking.Store(false)
		// Perhaps it is gone; where somebody else listens, nobody says so.
		a.publisher.stream.Forget()
		_ = a.publisher.stream.ensureWithin(conn.ctx, time.Now().Add(stores.ResendAfter)) // what is sent all the same tells
		slices.Sort(ids)                                                                  // in the order in which they were published
		conn.async.resend(ids)
	})
	if !started { // the connection is closed, and all of them end
		a.seeking.Store(false)
	}
}

// mayRepeat reports whether a further copy is recognised as one.
func (f *PubFuture) mayRepeat(now time.Time) bool {
	p := f.of.publisher
	window := p.stream.Window()
	return f.again && (window == 0 || now.Sub(f.deadline.Add(-p.timeout())) < window/2)
}

// unacknowledged is the outcome of an event that has no other at its deadline.
func (f *PubFuture) unacknowledged() *Error {
	if f.refused && !f.open {
		return outward(stores.NoStream())
	}
	if last := f.of.publisher.conn.bus.LastError(); last != nil {
		if subject, ok := denials.RefusesPublishing(last); ok && subject == f.subject {
			return permissionError(subject, last)
		}
	}
	last := NewError(CodeDeadlineExceeded, "")
	if f.err != nil {
		last = asError(f.err)
	}
	return outward(stores.Undecided(true, f.subject, &last.st))
}
