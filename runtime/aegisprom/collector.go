// Package aegisprom exports the figures of a server to Prometheus. Only programs that
// import it link the Prometheus client.
//
//	collector, err := aegisprom.NewCollector(srv)
//	err = prometheus.Register(collector)
//
// docs/observability.md lists the metrics.
package aegisprom

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// Collector is a prometheus.Collector of one server. It reads the figures when Prometheus
// asks for them, so that calls do not get slower. It is safe for concurrent use.
type Collector struct {
	server *aegis.Server

	requests, refused, inFlight, duration, score, ready, broken, leading *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector of srv. All metrics have the name of the
// instance as the label aegis_instance, so that those of several servers can be
// registered side by side. It returns an error if srv is nil.
func NewCollector(srv *aegis.Server) (*Collector, error) {
	if srv == nil {
		return nil, errors.New("aegisprom: the server to collect from is nil")
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("aegis_server_"+name, help, labels, prometheus.Labels{"aegis_instance": srv.Instance()})
	}
	return &Collector{
		server:   srv,
		requests: desc("requests_total", "Calls, events and commands that were handled, by code.", "service", "method", "code"),
		refused:  desc("refused_total", "Calls that were refused before a handler ran, by reason.", "service", "method", "reason"),
		inFlight: desc("requests_in_flight", "Calls, events and commands whose handlers run.", "service", "method"),
		duration: desc("request_duration_seconds", "Time from the arrival of a call to its reply, and of the handlers of events and commands.", "service", "method"),
		score:    desc("health_score", "Health score, 0 to 100.", "service"),
		ready:    desc("ready", "Whether the server is running, connected, healthy by its checks, and all its parts work."),
		broken:   desc("part_broken", "1 for each part of the server that cannot work, such as the commands of a method.", "part"),
		leading:  desc("leading", "1 for each single active group that the instance leads.", "service", "group"),
	}, nil
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.refused, c.inFlight, c.duration, c.score, c.ready, c.broken, c.leading} {
		out <- d
	}
}

// Collect sends the metrics as they are now.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for service, recorder := range c.server.Recorders() {
		for _, m := range recorder.Methods() {
			c.collectMethod(out, service, m)
		}
		if report, ok := c.server.Report(service); ok {
			out <- gauge(c.score, report.Score, service)
		}
	}
	for service, recorder := range c.server.EventRecorders() {
		for _, m := range recorder.Methods() {
			c.collectMethod(out, service, m)
		}
	}
	ready := 1.0
	if c.server.Ready(context.Background()) != nil {
		ready = 0
	}
	out <- gauge(c.ready, ready)
	for part := range c.server.Broken() { //nolint:errcheck // the log has the reasons
		out <- gauge(c.broken, 1, part)
	}
	for term := range c.server.Leading() {
		out <- gauge(c.leading, 1, term.Service, term.Group)
	}
}

// collectMethod sends the metrics of one method.
func (c *Collector) collectMethod(out chan<- prometheus.Metric, service string, m *health.Method) {
	distribution := m.Distribution(bounds) // read before the totals, which must not be less
	totals := m.Totals()
	well := totals.Requests
	for code, n := range totals.Errors {
		out <- counter(c.requests, n, service, m.Name(), aegis.Code(code).String())
		well -= n
	}
	out <- counter(c.requests, well, service, m.Name(), "OK")
	for reason, n := range totals.Refused {
		out <- counter(c.refused, n, service, m.Name(), reason)
	}
	out <- gauge(c.inFlight, float64(m.InFlight()), service, m.Name())
	buckets := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		buckets[bound.Seconds()] = distribution[i]
	}
	out <- prometheus.MustNewConstHistogram(c.duration, totals.Requests, totals.Busy.Seconds(), buckets, service, m.Name())
}

func counter(d *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
