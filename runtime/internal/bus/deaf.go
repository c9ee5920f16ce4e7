package bus

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/link"
)

// deafness tells whether NATS has refused a subscription for want of room: an
// account, or a NATS server, limits how many a connection has. nats.go keeps such
// a subscription, and nothing ever comes. What has become of it shows after the
// next reconnect, when all are asked for again.
type deafness struct {
	// refused is one more than how often the connection had come back when it was
	// seen last; 0: never.
	refused atomic.Uint64
}

// hear takes an asynchronous error of the connection. It reports whether that is
// about a subscription which was refused, and about the first one to be told.
func (d *deafness) hear(l *link.Link, err error) (refused, first bool) {
	if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		return false, false
	}
	l.Look() // the error may be there before the link has heard of the new connection
	now := l.Returns() + 1
	return true, d.refused.Swap(now) != now
}

// ErrDeaf says what to do about subscriptions that NATS refuses for want of room.
var ErrDeaf = fmt.Errorf("NATS refuses subscriptions of this connection, and what is sent there does not arrive: raise max_subscriptions "+
	"of the account or of the NATS servers, or spread the services over several processes: %w", nats.ErrMaxSubscriptionsExceeded)

// Deaf returns ErrDeaf if a subscription of this connection was refused. It looks at
// the last error as well, as a connection that the program has made tells nothing else.
func (b *Bus) Deaf() error {
	b.deafness.hear(b.Link, b.NATS.LastError())
	if b.deafness.refused.Load() == b.Link.Returns()+1 {
		return ErrDeaf
	}
	return nil
}

// SubscriptionRefused reports whether an asynchronous error of the connection is
// about a subscription that was refused for want of room, and about the first one.
func (b *Bus) SubscriptionRefused(err error) (refused, first bool) {
	return b.deafness.hear(b.Link, err)
}
