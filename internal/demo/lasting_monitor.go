package demo

import (
	"context"
	"log/slog"
	"sync"

	"github.com/aegisrpc/aegis/internal/monitorhttp"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// monitor serves a monitor of the demo's NATS server on this machine alone, with a connection
// of its own. All is allowed there: the demo has nothing but what it has made up itself. The
// returned function ends it.
func (l *lasting) monitor(ctx context.Context) (stop func(), err error) {
	quiet := slog.New(slog.DiscardHandler) // servers come and go here, and the page says so
	conn, err := aegis.Connect(ctx, l.stage.nats.ClientURL(), aegis.WithLogger(quiet))
	if err != nil {
		return nil, err
	}
	disconnect := func() { _ = conn.Close(context.Background()) } // it was only read
	m, err := aegismonitor.New(conn, aegismonitor.WithChanges(), aegismonitor.WithCalls(), aegismonitor.WithPayloads(), aegismonitor.WithLogger(quiet))
	if err != nil {
		disconnect()
		return nil, err
	}
	listener, err := monitorhttp.ListenDefault()
	if err != nil {
		m.Close()
		disconnect()
		return nil, err
	}
	server := monitorhttp.New(listener, monitorhttp.Options{Monitor: m, Logger: quiet})
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // it shows the end too
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			l.stage.sayf("the monitor has failed: %v", err)
		}
	})
	l.stage.sayf("the monitor is at %s", server.URL())
	return func() {
		end()
		running.Wait()
		disconnect()
	}, nil
}
