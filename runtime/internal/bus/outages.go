package bus

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// Outages says in the log when the connection is down, and when it is up again.
type Outages struct {
	bus    *Bus
	told   quiet.Interruptions
	server atomic.Pointer[string] // the URL of the server that the connection had last
}

// NewOutages returns the log of a connection's outages, and begins one if the
// connection is down. Stop follows.
func NewOutages(b *Bus, logger *slog.Logger) *Outages {
	o := &Outages{bus: b}
	o.told.Lasts = func(since time.Duration) {
		logger.Warn("aegis: the connection to NATS is down; what needs it waits",
			"server", *o.server.Load(), "for", since.Round(time.Millisecond))
	}
	o.told.Over = func(t quiet.Times) {
		logger.Info("aegis: the connection to NATS is up again", append([]any{"server", *o.server.Load()}, t.Attrs()...)...)
	}
	o.noteServer()
	if !b.Link.Up() {
		o.told.Begin(time.Now())
	}
	return o
}

func (o *Outages) noteServer() {
	url := o.bus.NATS.ConnectedUrlRedacted()
	if url == "" && o.server.Load() != nil {
		return
	}
	o.server.Store(&url)
}

// Changed is called when the connection went down or has come back; returned says
// that it has come back since the last call, also when no call said that it was down.
func (o *Outages) Changed(up, returned bool) {
	now := time.Now()
	if !up || returned {
		o.told.Begin(now) // does nothing if the outage has begun already
	}
	if up {
		o.noteServer()
		o.told.End(now)
	}
}

// Stop ends all lines about the connection.
func (o *Outages) Stop() { o.told.Stop() }
