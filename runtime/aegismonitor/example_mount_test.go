//nolint:testableexamples // it goes on until it is ended
package aegismonitor_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// serveMonitor serves a monitor below /aegis/ until ctx ends, behind a proxy that knows its
// users.
func serveMonitor(ctx context.Context, conn *aegis.Conn) error {
	m, err := aegismonitor.New(conn, aegismonitor.WithProxyHeader("X-Forwarded-User"))
	if err != nil {
		return err
	}
	defer m.Close()
	mux := http.NewServeMux()
	mux.Handle("/aegis/", http.StripPrefix("/aegis", m))
	srv := &http.Server{Addr: "127.0.0.1:8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	srv.RegisterOnShutdown(m.Close) // Shutdown waits for streams, and this ends them
	context.AfterFunc(ctx, func() { _ = srv.Shutdown(context.WithoutCancel(ctx)) })
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func Example_shutdown() {
	ctx := context.Background()
	conn, err := aegis.Connect(ctx, "")
	if err == nil {
		err = serveMonitor(ctx, conn)
	}
	if err != nil {
		slog.Error("the monitor", "err", err)
	}
}
