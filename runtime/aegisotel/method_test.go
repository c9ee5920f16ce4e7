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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// specOf is that of a method with these options.
func specOf(t *testing.T, opts *aegisv1.MethodOptions) aegis.Method {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, aegisv1.E_Method, opts)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("t.proto"), Package: proto.String("t.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Placed"), InputType: proto.String(".t.v1.M"), OutputType: proto.String(".t.v1.M"), Options: options,
		}}}},
	}, nil)
	require.NoError(t, err)
	return aegis.Method{Service: "t.v1.S", Name: "Placed", Descriptor: file.Services().Get(0).Methods().Get(0)}
}

func TestEventsAndCommandsAreMessages(t *testing.T) {
	for pattern, opts := range map[string]*aegisv1.MethodOptions{
		"event":   {Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{}}},
		"command": {Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{}}},
	} {
		for _, server := range []bool{false, true} {
			spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
			in, err := newInterceptor([]Option{
				WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
				WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
			}, server)
			require.NoError(t, err)
			var c cached
			c.Store(newMethod(specOf(t, opts), server))
			_, op := in.beginSpan(t.Context(), &c)
			op.returned = true
			op.endSpan(nil)
			span := spans.GetSpans()[0]
			attributes := map[string]string{}
			for _, a := range span.Attributes {
				attributes[string(a.Key)] = a.Value.AsString()
			}
			delete(attributes, string(InstanceKey))
			name, operation, kind := map[string]string{"event": "publish", "command": "send"}[pattern], "send", trace.SpanKindProducer
			metrics := []string{"messaging.client.operation.duration", "messaging.client.sent.messages"}
			if server {
				name, operation, kind = "process", "process", trace.SpanKindConsumer
				metrics = []string{"messaging.process.duration", "messaging.client.consumed.messages"}
			}
			require.Equal(t, name+" t.v1.S.Placed", span.Name, pattern)
			require.Equal(t, kind, span.SpanKind)
			require.Equal(t, map[string]string{
				"messaging.system": "nats", "messaging.destination.name": "t.v1.S.Placed",
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
	for _, s := range []aegis.Method{
		{Service: "t.v1.S", Name: "Get"},
		specOf(t, &aegisv1.MethodOptions{}),
		specOf(t, &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_SingleActive{SingleActive: &aegisv1.SingleActive{}}}),
		specOf(t, &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Broadcast{Broadcast: &aegisv1.Broadcast{}}}),
	} {
		require.Empty(t, sendingOf(s))
		require.Equal(t, trace.SpanKindClient, newMethod(s, false).kind)
	}
}
