package aegismonitor_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// A program serves the monitor under a path of its own, to users who have a token.
func Example() { //nolint:testableexamples // it serves until it is stopped
	ctx := context.Background()
	conn, err := aegis.Connect(ctx, "nats://127.0.0.1:4222")
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	monitor, err := aegismonitor.New(conn, aegismonitor.WithBearerToken(os.Getenv("MONITOR_TOKEN")))
	if err != nil {
		panic(err)
	}
	defer monitor.Close()

	mux := http.NewServeMux()
	mux.Handle("/monitor/", http.StripPrefix("/monitor", monitor))
	slog.Error("serving has ended", "error", http.ListenAndServe("127.0.0.1:8080", mux))
}

// Everybody who can reach this address may look, and may put dead letters back; it is one of
// this machine alone.
func ExampleNew() { //nolint:testableexamples // it serves until it is stopped
	ctx := context.Background()
	conn, err := aegis.Connect(ctx, "nats://127.0.0.1:4222")
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	monitor, err := aegismonitor.New(conn, aegismonitor.WithChanges(), aegismonitor.WithPayloads())
	if err != nil {
		panic(err)
	}
	defer monitor.Close()
	slog.Error("serving has ended", "error", http.ListenAndServe("127.0.0.1:8080", monitor))
}
