// Package collect reads what the monitor shows from NATS, and tells the board. Each kind
// of reading has a file and a goroutine of its own, so that one that is not allowed, or
// slow, holds up no other.
//
// Documents that nobody looks at are read for rarely: package interest says what somebody looks at.
package collect

import (
	"context"
	"log/slog"
	"sync"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
)

// Config is how a collector works.
type Config struct {
	// Logger is told of a problem when it begins, and when it is over.
	Logger *slog.Logger
	// Round is called after each round of figures, when the board has judged them; nil for
	// nobody.
	Round func()
}

// Collector reads until it is stopped.
type Collector struct {
	conn     *aegis.Conn
	in       inside.Conn
	subjects wire.Subjects
	admin    *aegisadmin.Admin
	board    sink
	interest *interest.Interest
	config   Config
	roster   roster
	sources  sources

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Start begins to read what the services of the namespace of a connection do. The
// connection may be away, and stays open when the collector is stopped.
func Start(conn *aegis.Conn, b *board.Board, i *interest.Interest, config Config) *Collector {
	return start(conn, b, i, config)
}

func start(conn *aegis.Conn, b sink, i *interest.Interest, config Config) *Collector {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Round == nil {
		config.Round = func() {}
	}
	c := &Collector{
		conn: conn, in: inside.Of(conn), admin: aegisadmin.New(conn), board: b, interest: i, config: config,
		roster: newRoster(),
	}
	c.subjects = wire.NewSubjects(c.in.Layout.Namespace)
	c.sources = sources{board: b, logger: config.Logger, up: c.in.Bus.Link.Up}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for _, part := range []func(context.Context){
		c.followConnection, c.watchInstances, c.readFigures, c.readDescriptions,
		newLeaders(c).run, newWork(c).run,
	} {
		c.tasks.Go(func() { part(ctx) })
	}
	return c
}

// Stop ends reading, and returns when all has ended.
func (c *Collector) Stop() {
	c.cancel()
	c.tasks.Wait()
}
