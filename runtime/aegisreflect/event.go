package aegisreflect

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Publish publishes an event. For a durable event it returns when the event is stored, with
// the acknowledgement; a core event has none, and the result is nil. Options and errors are
// those of a generated publisher.
func (m *Method) Publish(ctx context.Context, event proto.Message, opts ...aegis.PublishOption) (*aegis.PubAck, error) {
	if err := m.is(kindEvent); err != nil {
		return nil, err
	}
	msg, err := m.outgoing(event)
	if err != nil {
		return nil, err
	}
	if m.Durable() {
		durable, err := publisherMethod(m, &m.durable, aegis.NewDurableEvent[dynamicpb.Message])
		if err != nil {
			return nil, err
		}
		return durable.Publish(ctx, msg, opts...)
	}
	core, err := publisherMethod(m, &m.core, aegis.NewCoreEvent[dynamicpb.Message])
	if err != nil {
		return nil, err
	}
	return nil, core.Publish(ctx, msg, opts...)
}

// publisherMethod makes an event of the service's publisher by makeIt, once.
func publisherMethod[T any](m *Method, l *lazy[T], makeIt func(*aegis.Publisher, protoreflect.Name) T) (T, error) {
	return l.get(func() (T, error) {
		p, err := m.service.aegisPublisher()
		if err != nil {
			var none T
			return none, coded(err)
		}
		return makeIt(p, protoreflect.Name(m.spec.Name)), nil
	})
}
