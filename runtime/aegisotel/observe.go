package aegisotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/aegisrpc/aegis/internal/metrics"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// ObserveConn exports the figures of a connection, and of all clients and publishers that use
// it, for which the conventions have no metric: the interceptor of [Client] makes the others.
// The figures are read when the provider collects. Unregister the registration before the
// connection is closed for good and another one takes its place. The error is that of an
// option, or of a metric that cannot be made.
func ObserveConn(conn *aegis.Conn, opts ...Option) (metric.Registration, error) {
	if conn == nil {
		return nil, errors.New("aegisotel: the connection to observe is nil")
	}
	return observe(metrics.OfConn(conn), nil, opts)
}

// ObserveServer exports the figures of a server for which the conventions have no metric: the
// interceptor of [Server] makes the others. All have the name of the instance as the
// attribute aegis.instance. Otherwise it is like [ObserveConn].
func ObserveServer(srv *aegis.Server, opts ...Option) (metric.Registration, error) {
	if srv == nil {
		return nil, errors.New("aegisotel: the server to observe is nil")
	}
	return observe(metrics.OfServer(srv), []attribute.KeyValue{InstanceKey.String(srv.Instance())}, opts)
}

// observed is a metric with its instrument.
type observed struct {
	metrics.Metric
	instrument metric.Float64Observable
	keys       []attribute.Key
}

func observe(all []metrics.Metric, common []attribute.KeyValue, opts []Option) (metric.Registration, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	meter := cfg.meters.Meter(scope)
	var list []observed
	var instruments []metric.Observable
	for _, m := range all {
		if m.Conventional {
			continue
		}
		o := observed{Metric: m}
		for _, label := range m.Labels {
			o.keys = append(o.keys, keyOf(label))
		}
		if o.instrument, err = instrument(meter, &m); err != nil {
			return nil, fmt.Errorf("aegisotel: %w", err)
		}
		list, instruments = append(list, o), append(instruments, o.instrument)
	}
	return meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for _, o := range list {
			o.Read(func(value float64, labels ...string) {
				attributes := append([]attribute.KeyValue(nil), common...)
				for i, label := range labels {
					attributes = append(attributes, o.keys[i].String(label))
				}
				to.ObserveFloat64(o.instrument, value, metric.WithAttributes(attributes...))
			})
		}
		return nil
	}, instruments...)
}

func instrument(meter metric.Meter, m *metrics.Metric) (metric.Float64Observable, error) {
	if m.Counter {
		return meter.Float64ObservableCounter(m.Name, metric.WithDescription(m.Help), metric.WithUnit(m.Unit))
	}
	return meter.Float64ObservableGauge(m.Name, metric.WithDescription(m.Help), metric.WithUnit(m.Unit))
}

// keyOf returns the attribute for a label: those of Aegis have its name in front.
func keyOf(label string) attribute.Key { return attribute.Key("aegis." + label) }
