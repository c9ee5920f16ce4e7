package aegis

import (
	"errors"
	"fmt"
	"log/slog"
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

// errDeaf says what to do.
var errDeaf = fmt.Errorf("NATS refuses subscriptions of this connection, and what is sent there does not arrive: raise max_subscriptions "+
	"of the account or of the NATS servers, or spread the services over several processes: %w", nats.ErrMaxSubscriptionsExceeded)

// deaf returns an error if a subscription of this connection was refused. It looks
// at the last error as well, as a connection that the program has made tells
// nothing else.
func (c *Conn) deaf() error {
	c.deafness.hear(c.link, c.nc.LastError())
	if c.deafness.refused.Load() == c.link.Returns()+1 {
		return errDeaf
	}
	return nil
}

// subscriptionRefused tells once that subscriptions are refused. It reports
// whether the error is about that.
func (c *Conn) subscriptionRefused(err error) bool {
	refused, first := c.deafness.hear(c.link, err)
	if first {
		c.logger.Error("aegis: NATS error", "err", errDeaf)
	}
	return refused
}

// listenPart says whether the server hears all that it has subscribed to.
func (s *Server) listenPart() *part {
	return s.parts.named("listening", func() *slog.Logger { return s.logger })
}

// checkHearing is called once a second.
func (s *Server) checkHearing() {
	switch err := s.conn.deaf(); {
	case err != nil && s.State() == StateRunning:
		s.listenPart().fails(err)
	case err == nil:
		s.listenPart().works()
	}
}
