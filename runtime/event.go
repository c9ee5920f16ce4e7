package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// EventHandler is one event of a subscriber. Generated code makes them.
type EventHandler struct {
	name    protoreflect.Name
	message func() proto.Message
	handle  UnaryFunc // nil: not subscribed
}

// Delivery is what is known of a durable event besides the event.
type Delivery struct {
	// Sequence is that of the event in its stream: StartSequence(Sequence+1)
	// goes on after it.
	Sequence uint64
	// Time is when it was stored, by the NATS server's clock.
	Time time.Time
	// Attempt is the number of the attempt of this group or instance, from 1 on. No
	// two have the same one, also not one that a stopping instance gave back; so it
	// can be greater than the number of those that count.
	Attempt int
}

type deliveryKey struct{}

// DeliveryFromContext returns what is known of the durable event that a handler
// works on; false for core events.
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
	delivery        Delivery // its attempt is 0 for core events
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
