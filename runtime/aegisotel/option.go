package aegisotel

import (
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Option is an option of Client and Server.
type Option interface{ apply(c *config) error }

type option func(*config) error

func (o option) apply(c *config) error { return o(c) }

type config struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
	for _, o := range opts {
		if o == nil {
			return nil, errNil
		}
		if err := o.apply(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

var errNil = errors.New("aegisotel: an option is nil")

// WithTracerProvider sets the provider of the tracer that makes the spans. Default: the
// global provider. Nil is an error of Client and Server.
func WithTracerProvider(p trace.TracerProvider) Option {
	return option(func(c *config) error {
		if p == nil {
			return errNil
		}
		c.tracers = p
		return nil
	})
}

// WithMeterProvider sets the provider of the meter that makes the metrics. Default: the
// global provider. Nil is an error of Client and Server.
func WithMeterProvider(p metric.MeterProvider) Option {
	return option(func(c *config) error {
		if p == nil {
			return errNil
		}
		c.meters = p
		return nil
	})
}

// WithPropagator sets the propagator that writes trace context into the metadata, and reads
// it there. Default: W3C Trace Context and W3C Baggage, whatever the global propagator is.
// Nil is an error of Client and Server.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return option(func(c *config) error {
		if p == nil {
			return errNil
		}
		c.propagator = p
		return nil
	})
}
