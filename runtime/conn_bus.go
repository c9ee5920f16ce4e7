package aegis

import "github.com/aegisrpc/aegis/runtime/internal/bus"

// The methods of a connection's bus with errors in place of statuses.

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
