// Package aegisprom exports the figures of servers, and of connections with their clients,
// to Prometheus. Only programs that import it link the Prometheus client.
//
//	collector, err := aegisprom.NewCollector(srv)
//	err = prometheus.Register(collector)
//	collector, err = aegisprom.NewConnCollector(conn)
//	err = prometheus.Register(collector)
//
// docs/observability.md lists the metrics.
package aegisprom

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aegisrpc/aegis/internal/metrics"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// bounds are the upper bounds of the histogram's buckets.
var bounds = []time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Collector is a prometheus.Collector of one server, or of one connection. It reads the
// figures when Prometheus asks for them, so that calls do not get slower. It is safe for
// concurrent use.
type Collector struct {
	metrics   []exported
	durations *prometheus.Desc
	methods   func(yield func(service string, m *health.Method)) // those with durations
}

// exported is a metric with its description.
type exported struct {
	metrics.Metric
	desc *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector of srv. All metrics have the name of the
// instance as the label aegis_instance, so that those of several servers can be
// registered side by side. It returns an error if srv is nil.
func NewCollector(srv *aegis.Server) (*Collector, error) {
	if srv == nil {
		return nil, errors.New("aegisprom: the server to collect from is nil")
	}
	c := newCollector(metrics.OfServer(srv), prometheus.Labels{"aegis_instance": srv.Instance()},
		"aegis_server_request_duration_seconds", "Time from the arrival of a call to its reply, and of the handlers of events and commands.")
	c.methods = func(yield func(string, *health.Method)) {
		for service, recorder := range srv.Recorders() {
			for _, m := range recorder.Methods() {
				yield(service, m)
			}
		}
		for service, recorder := range srv.EventRecorders() {
			for _, m := range recorder.Methods() {
				yield(service, m)
			}
		}
	}
	return c, nil
}

// NewConnCollector returns a collector of the connection, and of all clients and publishers
// that use it. A program with several connections wraps the registerer, so that each has a
// label of its own, see [prometheus.WrapRegistererWith]. It returns an error if conn is nil.
func NewConnCollector(conn *aegis.Conn) (*Collector, error) {
	if conn == nil {
		return nil, errors.New("aegisprom: the connection to collect from is nil")
	}
	c := newCollector(metrics.OfConn(conn), nil,
		"aegis_client_request_duration_seconds", "Time of calls with all their attempts; of streams, until a server has taken them.")
	c.methods = func(yield func(string, *health.Method)) {
		for service, callers := range conn.Callers() {
			for _, m := range callers.Methods() {
				yield(service, &m.Method)
			}
		}
	}
	return c, nil
}

func newCollector(all []metrics.Metric, labels prometheus.Labels, durations, help string) *Collector {
	c := &Collector{durations: prometheus.NewDesc(durations, help, []string{"service", "method"}, labels)}
	for _, m := range all {
		c.metrics = append(c.metrics, exported{m, prometheus.NewDesc(m.PrometheusName(), m.Help, m.Labels, labels)})
	}
	return c
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.durations
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect sends the metrics as they are now.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.methods(func(service string, m *health.Method) { c.collectDuration(out, service, m) }) // before the requests, which must not be less
	for _, m := range c.metrics {
		kind := prometheus.GaugeValue
		if m.Counter {
			kind = prometheus.CounterValue
		}
		m.Read(func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(m.desc, kind, value, labels...)
		})
	}
}

// collectDuration sends the histogram of one method.
func (c *Collector) collectDuration(out chan<- prometheus.Metric, service string, m *health.Method) {
	distribution := m.Distribution(bounds) // read before the totals, which must not be less
	totals := m.Totals()
	buckets := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		buckets[bound.Seconds()] = distribution[i]
	}
	out <- prometheus.MustNewConstHistogram(c.durations, totals.Requests, totals.Busy.Seconds(), buckets, service, m.Name())
}
