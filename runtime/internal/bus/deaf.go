package bus

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/link"
)

// deafness knows whether NATS has refused a subscription for want of room: an account,
// or a NATS server, limits how many subscriptions a connection has. nats.go keeps such a
// subscription, and no message ever comes through it. Whether NATS still refuses it shows
// after the next reconnect, when nats.go asks for all subscriptions again.
type deafness struct {
	// refused is one more than the number of the connection's returns when the last
	// refusal was seen; 0: none was.
	refused atomic.Uint64
}

// hear takes an asynchronous error of the connection. It reports whether the error is
// about a refused subscription, and whether that is the first one since the connection
// has come back.
func (d *deafness) hear(l *link.Link, err error) (refused, first bool) {
	if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		return false, false
	}
	l.Look() // the error may come before the link has heard of the new connection
	now := l.Returns() + 1
	return true, d.refused.Swap(now) != now
}

// ErrDeaf tells a person what to do about subscriptions that NATS refuses for want of
// room.
var ErrDeaf = fmt.Errorf("NATS refuses subscriptions of this connection, and what is sent there does not arrive: raise max_subscriptions "+
	"of the account or of the NATS servers, or spread the services over several processes: %w", nats.ErrMaxSubscriptionsExceeded)

// Deaf returns ErrDeaf if NATS has refused a subscription of this connection. It looks
// at the last error of the connection as well: where the program has made the connection,
// nothing else tells.
func (b *Bus) Deaf() error {
	b.deafness.hear(b.Link, b.NATS.LastError())
	if b.deafness.refused.Load() == b.Link.Returns()+1 {
		return ErrDeaf
	}
	return nil
}

// SubscriptionRefused reports whether an asynchronous error of the connection is about
// a subscription that NATS has refused for want of room, and whether that is the first
// one since the connection has come back.
func (b *Bus) SubscriptionRefused(err error) (refused, first bool) {
	return b.deafness.hear(b.Link, err)
}
