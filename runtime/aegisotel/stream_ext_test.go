package aegisotel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisotel"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type streams struct {
	aegistestv1aegis.UnimplementedStreamServiceServer
}

func (streams) Count(ctx context.Context, req *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	if req.GetText() == "held" {
		<-ctx.Done()
		return ctx.Err()
	}
	return out.Send(&testv1.CountResponse{Number: 1})
}

func TestSpansOfStreams(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	opts := []aegisotel.Option{
		aegisotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider()),
	}
	server, err := aegisotel.Server(opts...)
	require.NoError(t, err)
	client, err := aegisotel.Client(opts...)
	require.NoError(t, err)
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterStreamServiceServer(srv, streams{}, aegis.WithUnimplemented())
	}, aegis.WithInterceptors(server))
	stub, err := aegistestv1aegis.NewStreamServiceClient(conn, aegis.WithInterceptors(client))
	require.NoError(t, err)

	ended := func() map[trace.SpanKind]tracetest.SpanStub {
		require.Eventually(t, func() bool { return len(spans.GetSpans()) == 2 }, patience, 1e6)
		byKind := map[trace.SpanKind]tracetest.SpanStub{}
		for _, s := range spans.GetSpans() {
			byKind[s.SpanKind] = s
		}
		spans.Reset()
		return byKind
	}
	in, err := stub.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	for _, err := range in.All() {
		require.NoError(t, err)
	}
	got := ended()
	atClient, atServer := got[trace.SpanKindClient], got[trace.SpanKindServer]
	require.Equal(t, "aegistest.v1.StreamService/Count", atClient.Name)
	require.Equal(t, codes.Unset, atClient.Status.Code)
	require.Equal(t, atClient.SpanContext.SpanID(), atServer.Parent.SpanID())

	in, err = stub.Count(t.Context(), &testv1.CountRequest{Text: "held"})
	require.NoError(t, err)
	require.NoError(t, in.Close())
	require.Equal(t, codes.Error, ended()[trace.SpanKindClient].Status.Code, "it was given up")

	_, err = stub.Chat(t.Context())
	require.NoError(t, err, "the server takes it, and its handler answers UNIMPLEMENTED")
}

// A context may end while a stream opens.
func TestContextThatEndsWhileAStreamOpensEndsItsSpan(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	client, err := aegisotel.Client(
		aegisotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider()),
	)
	require.NoError(t, err)
	open := client.WrapClientStream(func(context.Context) (aegis.AnyStream, error) { return struct{ aegis.AnyStream }{}, nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const streams = 5000 // of which a few meet the moment
	for range streams {
		_, err := open(ctx)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(spans.GetSpans()) == streams }, patience, 1e6)
}
