package aegis

import (
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// watchLink follows the NATS connection until it is closed, by Close or in another
// way, of which nobody hears who has no server on it.
func (c *Conn) watchLink() {
	returns := c.bus.Link.Returns()
	c.bus.Link.Watch(c.ctx, func(s link.State) {
		returned := s.Returns != returns
		returns = s.Returns
		c.outages.changed(s.Up, returned)
		if returned {
			c.cameUp()
		}
	})
	if c.ctx.Err() == nil {
		c.logger.Error("aegis: the connection to NATS is closed for good, and nothing works over it any more; "+
			"connect anew, or end the process", "err", c.nc.LastError())
	}
	c.cancel()
	c.failWaiting()
}

// cameUp is called each time that the connection has come back.
func (c *Conn) cameUp() {
	if c.errors != nil {
		c.errors.accepted()
	}
	c.transit.Reconnected()
	c.bus.Outbox.Flush()
	c.leaders.Reconnected()
}

// outages tells in the log when the connection is down, and when it is up again.
type outages struct {
	quiet.Interruptions

	conn   *Conn
	server atomic.Pointer[string] // the last one
}

func (o *outages) init(c *Conn) {
	o.conn = c
	o.Lasts = func(since time.Duration) {
		c.logger.Warn("aegis: the connection to NATS is down; what needs it waits",
			"server", *o.server.Load(), "for", since.Round(time.Millisecond))
	}
	o.Over = func(t quiet.Times) {
		c.logger.Info("aegis: the connection to NATS is up again", append([]any{"server", *o.server.Load()}, t.Attrs()...)...)
	}
	o.note()
	if !c.bus.Link.Up() {
		o.Begin(time.Now())
	}
}

func (o *outages) note() {
	url := o.conn.nc.ConnectedUrlRedacted()
	if url == "" && o.server.Load() != nil {
		return
	}
	o.server.Store(&url)
}

// changed is called when the connection went down or has come back; returned says
// that it has, and may be up only for that reason.
func (o *outages) changed(up, returned bool) {
	now := time.Now()
	if !up || returned {
		o.Begin(now) // unless it was told
	}
	if up {
		o.note()
		o.End(now)
	}
}
