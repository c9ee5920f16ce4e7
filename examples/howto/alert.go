package howto

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisprom"
	"github.com/aegisrpc/aegis/runtime/health/httphealth"
)

// Observed serves the metrics of a server for Prometheus, and its probes.
func Observed(srv *aegis.Server) (http.Handler, error) {
	collector, err := aegisprom.NewCollector(srv)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector, collectors.NewGoCollector())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/", httphealth.Handler(srv.Live, srv.Ready)) // /livez and /readyz
	return mux, nil
}
