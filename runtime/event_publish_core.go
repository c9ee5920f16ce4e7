package aegis

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// publishCore hands an event to NATS. Until NATS is known to allow that, publishCore
// waits until NATS has read the event.
func (e *eventMethod) publishCore(p *eventPublication, msg proto.Message) *Error {
	header, failure := e.header(p)
	if failure != nil {
		return failure
	}
	b := e.publisher.conn.bus
	slot := b.Acquire() // for its buffer
	defer b.Release(slot)
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the event %s cannot be marshalled: %w", e.public.FullName(), err)
	}
	r := bus.Request{Subject: &e.subject, Payload: slot.Payload, Deadline: p.deadline}
	if e.permission.Known() {
		return outward(b.Publish(p, &r, header))
	}
	inquiry := e.permission.Ask()
	defer inquiry.Close()
	if why := b.Publish(p, &r, header); why != nil {
		return outward(why)
	}
	return outward(inquiry.Outcome(p, p.deadline))
}

// payloads are buffers for the bytes of events; nats.go copies the bytes.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

// publishPlain publishes an event without options or metadata over a connection that is
// up, as most events are published. It returns false if the event was not published.
func (e *eventMethod) publishPlain(ctx context.Context, msg proto.Message) bool {
	b := e.publisher.conn.bus
	if !b.Link.Up() || !e.permission.Known() || ctx.Err() != nil {
		return false
	}
	buffer, _ := payloads.Get().(*[]byte)
	defer payloads.Put(buffer)
	var err error
	if *buffer, err = (proto.MarshalOptions{}).MarshalAppend((*buffer)[:0], msg); err != nil {
		return false
	}
	err = b.NATS.Publish(e.subject, *buffer)
	if cap(*buffer) > bus.MaxKeptPayload {
		*buffer = nil
	}
	return err == nil
}
