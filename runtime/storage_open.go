package aegis

import (
	"context"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// openStream is a stream that is found or made when it is first needed. Its methods return
// the errors that users get.
type openStream struct {
	stores.Stream

	conn *Conn
}

func (c *Conn) openStream(want stores.Want, policy stores.Policy) openStream {
	return openStream{stores.Stream{Stores: c.stores, Want: want, Policy: policy}, c}
}

type storing = stores.Storing

func (o *openStream) ensureWithin(ctx context.Context, deadline time.Time) *Error {
	return outward(o.Ensure(ctx, deadline))
}

func (o *openStream) store(ctx context.Context, slot *bus.Slot, s *storing) (*stores.Ack, *Error) {
	ack, why := o.Store(ctx, slot, s)
	return ack, outward(why)
}
