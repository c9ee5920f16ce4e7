// Package metrics has the metrics of connections and servers of Aegis once, for the packages
// that export them: aegisprom and aegisotel. The figures that they have in common differ in
// their names alone.
package metrics

import (
	"strings"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// Metric is one metric with the way to read it.
type Metric struct {
	// Name is that of OpenTelemetry, such as aegis.client.retries. That of Prometheus is
	// made of it.
	Name string
	Help string
	// Unit is the unit by UCUM: "s", or a thing such as "{call}".
	Unit string
	// Counter says that the value only grows; else it goes up and down.
	Counter bool
	// Conventional says that OpenTelemetry has another metric for it, which the interceptors
	// of aegisotel make.
	Conventional bool
	// Labels are the keys of the labels, in the order in which Read has the values.
	Labels []string
	// Read calls add with each value, and the values of its labels.
	Read func(add func(value float64, labels ...string))
}

// PrometheusName returns the name by the conventions of Prometheus: with the unit, and
// _total behind counters.
func (m *Metric) PrometheusName() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if m.Unit == "s" {
		name += "_seconds"
	}
	if m.Counter {
		name += "_total"
	}
	return name
}

// Labels and units.
const (
	service = "service"
	method  = "method"
	request = "{request}"
)

// The labels of a method.
var (
	ofMethod  = []string{service, method}
	withCode  = []string{service, method, "code"}
	withCause = []string{service, method, "reason"}
	ofGroup   = []string{service, "group"}
)

// addCodes calls add with the number of requests of each code.
func addCodes(t health.Totals, add func(n uint64, code string)) {
	well := t.Requests
	for code, n := range t.Errors {
		add(n, aegis.Code(code).String())
		well -= n
	}
	add(well, "OK")
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
