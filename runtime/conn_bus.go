package aegis

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// The methods of a connection's bus with errors in place of statuses.

// errLinkWasDown says that a request was not sent, and that the connection is back.
var errLinkWasDown = outward(bus.LinkWasDown)

// roundTrip sends r and waits for the reply; see bus.RoundTrip. The error may be
// errLinkWasDown.
func (c *Conn) roundTrip(ctx context.Context, slot *bus.Slot, r *bus.Request) (*nats.Msg, *Error) {
	msg, why := c.bus.RoundTrip(ctx, slot, r)
	if why == bus.LinkWasDown {
		return nil, errLinkWasDown
	}
	return msg, outward(why)
}

func connClosed() *Error { return outward(bus.Closed()) }

func tooLarge(what string, size int, most int64, advice string) *Error {
	return outward(bus.TooLarge(what, size, most, advice))
}

// subscriptionRefused logs once that NATS refuses subscriptions. It reports whether an
// asynchronous error is about that.
func (c *Conn) subscriptionRefused(err error) bool {
	refused, first := c.bus.SubscriptionRefused(err)
	if first {
		c.logger.Error("aegis: NATS error", "err", bus.ErrDeaf)
	}
	return refused
}
