package aegisotel

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// scope names this package as the source of spans and metrics.
const scope = "github.com/aegisrpc/aegis/runtime/aegisotel"

// Interceptor makes spans and metrics of calls. It is safe for concurrent use.
type Interceptor struct {
	*config

	tracer      trace.Tracer
	instruments *instruments
	server      bool
}

var _ aegis.Interceptor = (*Interceptor)(nil)

// Client returns an interceptor for clients and publishers. Put it first, so that its spans
// cover the other interceptors. The error is that of an option, or of a metric that cannot
// be made.
func Client(opts ...Option) (*Interceptor, error) { return newInterceptor(opts, false) }

// Server returns an interceptor for servers and subscribers. Put it first, so that its
// spans cover the other interceptors. The error is that of an option, or of a metric that
// cannot be made.
func Server(opts ...Option) (*Interceptor, error) { return newInterceptor(opts, true) }

func newInterceptor(opts []Option, server bool) (*Interceptor, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	in, err := newInstruments(cfg.meters.Meter(scope))
	if err != nil {
		return nil, fmt.Errorf("aegisotel: %w", err)
	}
	return &Interceptor{config: cfg, tracer: cfg.tracers.Tracer(scope), instruments: in, server: server}, nil
}

// WrapUnary makes a span of each unary call or message. The runtime calls it.
func (i *Interceptor) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	var m cached
	return func(ctx context.Context, req proto.Message) (res proto.Message, err error) {
		ctx, op := i.beginSpan(ctx, &m)
		defer func() { op.endSpan(err) }() // also if next panics
		res, err = next(ctx, req)
		op.returned = true
		return res, err
	}
}

// cached is the method of the calls that are intercepted, known from the first call on.
type cached struct{ atomic.Pointer[method] }

func (c *cached) get(call *aegis.Call, server bool) *method {
	if m := c.Load(); m != nil {
		return m
	}
	m := newMethod(call.Method(), server)
	if call.Method().Name != "" { // else a later call names it
		c.Store(m)
	}
	return m
}

// beginSpan starts the span of a call, and carries its context on to the server, or takes
// over that of the client.
func (i *Interceptor) beginSpan(ctx context.Context, of *cached) (context.Context, *operation) {
	call, ok := aegis.CallFromContext(ctx)
	if !ok {
		call = &aegis.Call{} // an interceptor before this one has passed on another context
	}
	m := of.get(call, i.server)
	if i.server {
		ctx = i.propagator.Extract(ctx, carrier(call.RequestHeader()))
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(m.kind), trace.WithAttributes(m.attributes...)}
	if sender := trace.SpanContextFromContext(ctx); i.server && m.message && sender.IsRemote() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: sender})) // it is the parent as well
	}
	ctx, span := i.tracer.Start(ctx, m.name, opts...)
	if i.server {
		span.SetAttributes(serverAttributes(ctx, call)...)
	} else {
		i.inject(ctx, call)
	}
	return ctx, newOperation(ctx, i, m, span)
}
