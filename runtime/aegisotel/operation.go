package aegisotel

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"
	"go.opentelemetry.io/otel/trace"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// instruments are the metrics of the conventions.
type instruments struct {
	client   metric.Float64Histogram // rpc.client.call.duration
	server   metric.Float64Histogram // rpc.server.call.duration
	send     metric.Float64Histogram // messaging.client.operation.duration
	process  metric.Float64Histogram // messaging.process.duration
	sent     metric.Int64Counter     // messaging.client.sent.messages
	consumed metric.Int64Counter     // messaging.client.consumed.messages
}

func newInstruments(m metric.Meter) (*instruments, error) {
	client, err1 := rpcconv.NewClientCallDuration(m)
	server, err2 := rpcconv.NewServerCallDuration(m)
	send, err3 := messagingconv.NewClientOperationDuration(m)
	process, err4 := messagingconv.NewProcessDuration(m)
	sent, err5 := messagingconv.NewClientSentMessages(m)
	consumed, err6 := messagingconv.NewClientConsumedMessages(m)
	return &instruments{
		client: client.Float64Histogram, server: server.Float64Histogram,
		send: send.Float64Histogram, process: process.Float64Histogram,
		sent: sent.Int64Counter, consumed: consumed.Int64Counter,
	}, errors.Join(err1, err2, err3, err4, err5, err6)
}

// operation is one call, or one message, and its span.
type operation struct {
	ctx      context.Context //nolint:containedctx // lives as long as the call
	of       *Interceptor
	method   *method
	span     trace.Span
	began    time.Time
	returned bool // the call has neither panicked nor ended its goroutine
}

func newOperation(ctx context.Context, i *Interceptor, m *method, span trace.Span) *operation {
	return &operation{ctx: ctx, of: i, method: m, span: span, began: time.Now()}
}

// endSpan ends the span, and counts the operation in the metrics.
func (o *operation) endSpan(err error) {
	took := time.Since(o.began).Seconds()
	code := aegis.CodeOf(err)
	if !o.returned {
		code = aegis.CodeInternal
	}
	outcome := o.outcome(code)
	o.record(took, slices.Concat(o.method.attributes, outcome)) // which are sorted in place
	o.span.SetAttributes(outcome...)
	if e, ok := errors.AsType[*aegis.Error](err); ok && e.Reason() != "" {
		o.span.SetAttributes(ReasonKey.String(e.Reason()))
	}
	if o.failed(code) {
		o.span.SetStatus(codes.Error, description(err))
	}
	o.span.End()
}

// outcome returns the attributes that tell how the operation has ended.
func (o *operation) outcome(code aegis.Code) (attributes []attribute.KeyValue) {
	status := "OK"
	if code != 0 {
		status = code.String()
		attributes = append(attributes, semconv.ErrorTypeKey.String(status))
	}
	if !o.method.message {
		attributes = append(attributes, semconv.RPCResponseStatusCode(status))
	}
	return attributes
}

// record counts the operation in the metrics of its kind; took is in seconds.
func (o *operation) record(took float64, attributes []attribute.KeyValue) {
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	in := o.of.instruments
	switch {
	case o.method.message && o.of.server:
		in.process.Record(o.ctx, took, set)
		in.consumed.Add(o.ctx, 1, set)
	case o.method.message:
		in.send.Record(o.ctx, took, set)
		in.sent.Add(o.ctx, 1, set)
	case o.of.server:
		in.server.Record(o.ctx, took, set)
	default:
		in.client.Record(o.ctx, took, set)
	}
}

// failed reports whether a code makes the span a failed one. At a server of calls only
// codes do that are the server's fault, as the conventions for gRPC say.
func (o *operation) failed(code aegis.Code) bool {
	if !o.of.server || o.method.message {
		return code != 0
	}
	switch code {
	case aegis.CodeUnknown, aegis.CodeDeadlineExceeded, aegis.CodeUnimplemented,
		aegis.CodeInternal, aegis.CodeUnavailable, aegis.CodeDataLoss:
		return true
	default:
		return false
	}
}

func description(err error) string {
	if err == nil {
		return "the handler did not return"
	}
	return err.Error()
}
