// Package metrics exports to Prometheus what no single instance of a service knows: how much
// durable work waits, which groups have a leader, how many instances there are, and how the
// monitor itself is. The figures that instances export with package aegisprom are not repeated.
//
// docs/observability.md lists the metrics.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
)

// maxScrapes is how many scrapes may be answered at once. Each makes all documents anew.
const maxScrapes = 4

// Documents are what the metrics are made of. A board has them.
type Documents interface {
	Overview(now time.Time) *monitorapi.Overview
	Service(now time.Time, service string) *monitorapi.ServiceDetail
	Leaders(now time.Time) *monitorapi.Leaders
	Work(now time.Time) *monitorapi.Work
	GapsTotal(now time.Time) []board.GapTotal
}

var _ Documents = (*board.Board)(nil)

// Handler answers scrapes with the metrics of a monitor, and with those of its process.
// streams returns how many live documents are being followed now.
func Handler(d Documents, streams func() int) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		NewCollector(d, streams),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
}
