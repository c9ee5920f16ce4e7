package aegisotel

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// methods are the methods of clients and publishers of the test services, by name.
type methods map[string]aegis.Method

func (m methods) ForMethod(method aegis.Method, _ aegis.Side) (aegis.Interceptor, error) {
	m[method.Name] = method
	return nil, nil
}

func methodsOf(t *testing.T) methods {
	t.Helper()
	conn := aegistest.Connect(t)
	m := make(methods)
	in := aegis.WithInterceptors(struct {
		aegis.InterceptorFunc
		methods
	}{nil, m})
	_, err := aegistestv1aegis.NewEventServicePublisher(conn, in)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewJobServiceClient(conn, in)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewLeaderServiceClient(conn, in)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewProbeServiceClient(conn, in)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewBroadcastServiceClient(conn, in)
	require.NoError(t, err)
	return m
}

func TestEventsAndCommandsAreMessages(t *testing.T) {
	all := methodsOf(t)
	for pattern, method := range map[string]aegis.Method{"event": all["Core"], "durable event": all["Stored"], "command": all["Work"]} {
		for _, server := range []bool{false, true} {
			spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
			in, err := newInterceptor([]Option{
				WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
				WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
			}, server)
			require.NoError(t, err)
			var c cached
			c.Store(newMethod(method, server))
			_, op := in.beginSpan(t.Context(), &c)
			op.returned = true
			op.endSpan(nil)
			span := spans.GetSpans()[0]
			attributes := map[string]string{}
			for _, a := range span.Attributes {
				attributes[string(a.Key)] = a.Value.AsString()
			}
			delete(attributes, string(InstanceKey))
			name, operation, kind := map[string]string{"event": "publish", "durable event": "publish", "command": "send"}[pattern], "send", trace.SpanKindProducer
			metrics := []string{"messaging.client.operation.duration", "messaging.client.sent.messages"}
			if server {
				name, operation, kind = "process", "process", trace.SpanKindConsumer
				metrics = []string{"messaging.process.duration", "messaging.client.consumed.messages"}
			}
			require.Equal(t, name+" "+method.FullName(), span.Name, pattern)
			require.Equal(t, kind, span.SpanKind)
			require.Equal(t, map[string]string{
				"messaging.system": "nats", "messaging.destination.name": method.FullName(),
				"messaging.operation.name": name, "messaging.operation.type": operation,
			}, attributes)
			require.ElementsMatch(t, metrics, names(t, reader))
		}
	}
}

func names(t *testing.T, reader *sdkmetric.ManualReader) (list []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			list = append(list, m.Name)
		}
	}
	return list
}

func TestOtherPatternsAreCalls(t *testing.T) {
	all := methodsOf(t)
	for _, s := range []aegis.Method{
		{Service: "t.v1.S", Name: "Get"}, all["Get"], all["Lead"], all["Tell"],
	} {
		require.Empty(t, sendingOf(s))
		require.Equal(t, trace.SpanKindClient, newMethod(s, false).kind)
	}
}
