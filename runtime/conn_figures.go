package aegis

import (
	"iter"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/calling"
)

// callingKey is the key of the figures of a connection's clients.
type callingKey struct{}

func (c *Conn) figures() *calling.Figures {
	return perConn(c, callingKey{}, func() *calling.Figures { return new(calling.Figures) })
}

// Callers returns the figures of all clients and publishers on the connection, by the full
// names of their services, for programs that export them, as aegisprom and aegisotel do.
// They count calls, streams, broadcasts, and the sending of commands and durable events.
func (c *Conn) Callers() iter.Seq2[string, *health.Callers] { return c.figures().All() }

// Report returns the state of the connection: how often it was lost, for how long, and the
// gaps of the leaders that its clients call.
func (c *Conn) Report() health.Connection {
	link := c.bus.Link.State()
	return health.Connection{
		Up: link.Up, Outages: link.Outages, Down: link.DownTime(), Denials: c.bus.Denials.Count(),
		Streams: c.streams.Streams(), Leaders: c.leaders.Gaps(),
	}
}
