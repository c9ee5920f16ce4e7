package aegisotel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/aegisrpc/aegis/internal/leaktest"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisotel"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

const patience = 15 * time.Second

type handler func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error)

type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
	handle handler
}

func (p probe) Get(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	return p.handle(ctx, req)
}

// fixture is a client and a server that are both instrumented, for one exporter.
type fixture struct {
	t      *testing.T
	spans  *tracetest.InMemoryExporter
	traces *sdktrace.TracerProvider
	reader *sdkmetric.ManualReader
	conn   *aegis.Conn
	client aegistestv1aegis.ProbeServiceClient
}

func newFixture(t *testing.T, handle handler) *fixture {
	t.Helper()
	f := &fixture{t: t, spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	f.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(f.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(f.reader))
	opts := []aegisotel.Option{aegisotel.WithTracerProvider(f.traces), aegisotel.WithMeterProvider(meters)}
	server, err := aegisotel.Server(opts...)
	require.NoError(t, err)
	client, err := aegisotel.Client(opts...)
	require.NoError(t, err)
	conn := aegistest.Connect(t)
	f.conn = conn
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{handle: handle})
	}, aegis.WithInstance("a"), aegis.WithInterceptors(server))
	f.client, err = aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithInterceptors(client))
	require.NoError(t, err)
	return f
}

// ended waits for the spans of a call: that of the client ends by itself.
func (f *fixture) ended(n int) map[trace.SpanKind]tracetest.SpanStub {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return len(f.spans.GetSpans()) == n }, patience, time.Millisecond)
	spans := map[trace.SpanKind]tracetest.SpanStub{}
	for _, s := range f.spans.GetSpans() {
		spans[s.SpanKind] = s
	}
	return spans
}

func attributes(s tracetest.SpanStub) map[string]any {
	m := map[string]any{}
	for _, a := range s.Attributes {
		m[string(a.Key)] = a.Value.AsInterface()
	}
	return m
}

// histogram returns the one point of a metric.
func (f *fixture) histogram(name string) metricdata.HistogramDataPoint[float64] {
	f.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(f.t, f.reader.Collect(context.Background(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				h, ok := m.Data.(metricdata.Histogram[float64])
				require.True(f.t, ok)
				require.Equal(f.t, "s", m.Unit)
				require.Len(f.t, h.DataPoints, 1)
				return h.DataPoints[0]
			}
		}
	}
	f.t.Fatalf("there is no metric %s", name)
	return metricdata.HistogramDataPoint[float64]{}
}

func TestATraceGoesThroughNATS(t *testing.T) {
	f := newFixture(t, func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		require.NotEmpty(t, call.RequestHeader().Get("traceparent"))
		require.Equal(t, "mine", call.RequestHeader().Get("tenant"))
		return &testv1.GetResponse{Text: req.GetText() + baggage.FromContext(ctx).Member("user").Value()}, nil
	})
	member, err := baggage.NewMember("user", "7")
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	ctx, outer := f.traces.Tracer("test").Start(baggage.ContextWithBaggage(t.Context(), bag), "outer")
	ctx, call := aegis.NewCall(ctx)
	call.RequestHeader().Set("tenant", "mine")
	res, err := f.client.Get(ctx, &testv1.GetRequest{Text: "x"})
	require.NoError(t, err)
	require.Equal(t, "x7", res.GetText())
	outer.End()
	spans := f.ended(3)
	client, server := spans[trace.SpanKindClient], spans[trace.SpanKindServer]
	require.Equal(t, "aegistest.v1.ProbeService/Get", client.Name)
	require.Equal(t, client.Name, server.Name)
	require.Equal(t, outer.SpanContext().SpanID(), client.Parent.SpanID())
	require.Equal(t, client.SpanContext.SpanID(), server.Parent.SpanID())
	require.Equal(t, outer.SpanContext().TraceID(), server.SpanContext.TraceID())
	require.True(t, server.Parent.IsRemote())
	want := map[string]any{"rpc.system.name": "aegis", "rpc.method": "aegistest.v1.ProbeService/Get", "rpc.response.status_code": "OK"}
	require.Equal(t, want, attributes(client))
	want["aegis.instance"] = "a"
	require.Equal(t, want, attributes(server))
	require.Equal(t, codes.Unset, client.Status.Code)
	for _, name := range []string{"rpc.client.call.duration", "rpc.server.call.duration"} {
		h := f.histogram(name)
		require.EqualValues(t, 1, h.Count)
		require.Equal(t, attribute.NewSet(attribute.String("rpc.system.name", "aegis"),
			attribute.String("rpc.method", "aegistest.v1.ProbeService/Get"), attribute.String("rpc.response.status_code", "OK")), h.Attributes)
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle handler
		code   string
		server codes.Code
	}{
		{"the caller's fault", func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
			return nil, aegis.NewError(aegis.CodeNotFound, "gone")
		}, "NOT_FOUND", codes.Unset},
		{"the server's fault", func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
			return nil, errors.New("wrong")
		}, "UNKNOWN", codes.Error},
		{"a panic", func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
			panic("boom")
		}, "INTERNAL", codes.Error},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, c.handle)
			_, err := f.client.Get(t.Context(), &testv1.GetRequest{})
			require.Equal(t, c.code, aegis.CodeOf(err).String())
			spans := f.ended(2)
			client, server := spans[trace.SpanKindClient], spans[trace.SpanKindServer]
			for _, s := range []tracetest.SpanStub{client, server} {
				require.Equal(t, c.code, attributes(s)["rpc.response.status_code"])
				require.Equal(t, c.code, attributes(s)["error.type"])
			}
			require.Equal(t, codes.Error, client.Status.Code)
			require.Equal(t, c.server, server.Status.Code)
			recorded := f.histogram("rpc.server.call.duration").Attributes
			status, _ := recorded.Value("error.type")
			require.Equal(t, c.code, status.AsString())
		})
	}
}

// A call to nobody has a client's span alone, which says why; what is tried again
// is a span of its own at the server, which says so.
func TestReasonsAndAttempts(t *testing.T) {
	failed := false
	f := newFixture(t, func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
		if !failed {
			failed = true
			return nil, aegis.NewError(aegis.CodeUnavailable, "not now")
		}
		return &testv1.GetResponse{}, nil
	})
	_, err := f.client.Get(t.Context(), &testv1.GetRequest{}, aegis.ToInstance("nobody"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	client := f.ended(1)[trace.SpanKindClient]
	require.Equal(t, "NO_RESPONDERS", attributes(client)["aegis.reason"])
	require.Equal(t, "UNAVAILABLE", attributes(client)["rpc.response.status_code"])
	_, err = f.client.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	f.ended(4)
	attempts := map[any]bool{}
	for _, s := range f.spans.GetSpans() {
		if s.SpanKind == trace.SpanKindServer {
			attempts[attributes(s)["aegis.attempt"]] = true
		}
	}
	require.Equal(t, map[any]bool{nil: true, int64(2): true}, attempts)
}

// Metadata is bounded. Baggage that does not fit is left at home; the call is made.
func TestTooMuchBaggage(t *testing.T) {
	f := newFixture(t, func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		require.NotEmpty(t, call.RequestHeader().Get("traceparent"))
		require.Empty(t, call.RequestHeader().Get("baggage"))
		return &testv1.GetResponse{}, nil
	})
	member, err := baggage.NewMember("user", strings.Repeat("x", 2000))
	require.NoError(t, err)
	bag, err := baggage.New(member)
	require.NoError(t, err)
	ctx, call := aegis.NewCall(baggage.ContextWithBaggage(t.Context(), bag))
	call.RequestHeader().Set("mine", strings.Repeat("x", 7000))
	for range 2 { // the second time over what the first one has set
		_, err = f.client.Get(ctx, &testv1.GetRequest{})
		require.NoError(t, err)
	}
}

func TestNilOptions(t *testing.T) {
	for _, o := range []aegisotel.Option{nil, aegisotel.WithTracerProvider(nil), aegisotel.WithMeterProvider(nil), aegisotel.WithPropagator(nil)} {
		_, err := aegisotel.Client(o)
		require.EqualError(t, err, "aegisotel: an option is nil")
		_, err = aegisotel.Server(o)
		require.Error(t, err)
	}
	_, err := aegisotel.Server() // with the global ones
	require.NoError(t, err)
}
