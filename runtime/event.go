package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// EventHandler is one event with its handler. Generated code makes it.
type EventHandler struct {
	name    protoreflect.Name
	message func() proto.Message
	handle  UnaryFunc // nil: the program does not subscribe to the event
}

// Delivery says where a durable event is stored, and how often it was tried.
type Delivery struct {
	// Sequence is the sequence of the event in its stream: a new group with
	// StartSequence(Sequence+1) begins after it.
	Sequence uint64
	// Time is when the event was stored, by the NATS server's clock.
	Time time.Time
	// Attempt is the number of the attempt of this group or instance, from 1 on. No two
	// attempts have the same number. An attempt that a stopping instance gave back has a
	// number too, though it does not count, so that Attempt can be greater than the
	// number of attempts that count.
	Attempt int
}

type deliveryKey struct{}

// DeliveryFromContext returns the Delivery of the durable event whose handler has this
// context; false for core events.
func DeliveryFromContext(ctx context.Context) (Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*Delivery)
	if !ok {
		return Delivery{}, false
	}
	return *d, true
}

// eventContext is the context of an event's handler.
type eventContext struct {
	context.Context //nolint:containedctx // it is a context
	call            Call
	delivery        Delivery // Attempt is 0 for core events
}

func (c *eventContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return &c.call
	case deliveryKey:
		if c.delivery.Attempt != 0 {
			return &c.delivery
		}
	}
	return c.Context.Value(key)
}
