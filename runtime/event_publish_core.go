package aegis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// permitted reports whether NATS is known to let this user publish the core event.
// Each denial that the connection hears of leaves that open.
func (e *eventMethod) permitted() bool {
	return e.allowed.Load() == e.publisher.conn.bus.Denials.Count()+1
}

// permission finds out whether NATS refuses a core event, which nobody answers. It
// waits for NATS once, not with each event.
type permission struct {
	event   *eventMethod
	before  uint64 // the denials of the connection
	refused atomic.Pointer[denials.Denial]
	unwatch func()
}

// askPermission begins before the event is published.
func (e *eventMethod) askPermission() *permission {
	conn := e.publisher.conn
	p := &permission{event: e, before: conn.bus.Denials.Count()}
	p.unwatch = conn.bus.Denials.Watch(func(d *denials.Denial) bool { return d.Publishing(e.subjects[0]) }, func(d *denials.Denial) { p.refused.Store(d) })
	return p
}

// granted returns an error if NATS has refused the event. Where NATS does not answer
// in time that stays open.
func (p *permission) granted(ctx context.Context, deadline time.Time) *Error {
	conn, subject := p.event.publisher.conn, p.event.subjects[0]
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if conn.flush(ctx) != nil {
		return nil
	}
	conn.bus.Denials.Settle(ctx)
	if d := p.refused.Load(); d != nil {
		return permissionError(subject, d.Err)
	}
	if denied, _ := conn.lastDenial(subject); denied != nil {
		return denied
	}
	p.event.allowed.Store(p.before + 1)
	return nil
}

func (e *eventMethod) publishCore(p *eventPublication, msg proto.Message) *Error {
	header, failure := e.header(p)
	if failure != nil {
		return failure
	}
	conn := e.publisher.conn
	slot := conn.bus.Acquire() // for its buffer
	defer conn.bus.Release(slot)
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the event %s cannot be marshalled: %w", e.spec.name(), err)
	}
	r := bus.Request{Subject: &e.subjects[0], Payload: slot.Payload, Deadline: p.deadline}
	var asked *permission
	if !e.permitted() {
		asked = e.askPermission()
		defer asked.unwatch()
	}
	for {
		if !conn.bus.LinkUp() {
			if err := conn.awaitLink(p, *r.Subject, r.Deadline); err != nil {
				return err
			}
		}
		if header == nil {
			err = conn.nc.Publish(*r.Subject, slot.Payload)
		} else {
			err = conn.nc.PublishMsg(&nats.Msg{Subject: *r.Subject, Header: header, Data: slot.Payload})
		}
		if err == nil && asked != nil {
			return asked.granted(p, p.deadline)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, nats.ErrReconnectBufExceeded) {
			return conn.publishError(&r, err)
		}
		conn.bus.Link.Doubt() // the connection went down after the look at it
	}
}

// payloads are buffers for what is published; NATS copies it.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

// publishPlain publishes an event without options or metadata over a connection
// that is up, which is most of them. False means that it was not published.
func (e *eventMethod) publishPlain(ctx context.Context, msg proto.Message) bool {
	conn := e.publisher.conn
	if !conn.bus.Link.Up() || !e.permitted() || ctx.Err() != nil {
		return false
	}
	buffer, _ := payloads.Get().(*[]byte)
	defer payloads.Put(buffer)
	var err error
	if *buffer, err = (proto.MarshalOptions{}).MarshalAppend((*buffer)[:0], msg); err != nil {
		return false
	}
	err = conn.nc.Publish(e.subjects[0], *buffer)
	if cap(*buffer) > bus.MaxKeptPayload {
		*buffer = nil
	}
	return err == nil
}
