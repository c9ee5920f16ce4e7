package orderserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisprom"
	"github.com/aegisrpc/aegis/runtime/health/httphealth"
)

// serveHTTP answers the probes of Kubernetes and gives Prometheus its metrics, at address, until the
// function that it returns is called.
func serveHTTP(srv *aegis.Server, address string, out io.Writer) (stop func(), err error) {
	metrics, err := metricsOf(srv)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("order server: cannot listen on %s, as --http says: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("/", httphealth.Handler(srv.Live, srv.Ready))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(out, "order server: no more probes are answered:", err)
		}
	}()
	fmt.Fprintf(out, "probes and metrics are at http://%s\n", l.Addr())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // somebody reads too slowly, and is cut off
		}
		<-ended
	}, nil
}

// metricsOf returns the metrics of a server, and those of its process.
func metricsOf(srv *aegis.Server) (http.Handler, error) {
	collector, err := aegisprom.NewCollector(srv)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
