package aegisotel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisotel"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// messages are a connection, and interceptors that write to one exporter.
type messages struct {
	*testing.T
	conn           *aegis.Conn
	spans          *tracetest.InMemoryExporter
	traces         *sdktrace.TracerProvider
	reader         *sdkmetric.ManualReader
	client, server aegis.InterceptorsOption
}

func newMessages(t *testing.T) *messages {
	t.Helper()
	m := &messages{T: t, conn: aegistest.Connect(t), spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	m.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(m.spans))
	opts := []aegisotel.Option{
		aegisotel.WithTracerProvider(m.traces),
		aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.reader))),
	}
	client, err := aegisotel.Client(opts...)
	require.NoError(t, err)
	server, err := aegisotel.Server(opts...)
	require.NoError(t, err)
	m.client, m.server = aegis.WithInterceptors(client), aegis.WithInterceptors(server)
	return m
}

// named waits for n spans of a name, in the order in which they ended.
func (m *messages) named(n int, name string) (found []tracetest.SpanStub) {
	m.Helper()
	require.Eventually(m, func() bool {
		found = nil
		for _, s := range m.spans.GetSpans() {
			if s.Name == name {
				found = append(found, s)
			}
		}
		return len(found) == n
	}, patience, time.Millisecond, "%d spans %s", n, name)
	return found
}

// counted are the values of a counter by the error's type.
func (m *messages) counted(name string) map[string]int64 {
	m.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(m, m.reader.Collect(context.Background(), &all))
	counts := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if sum, ok := metric.Data.(metricdata.Sum[int64]); ok && metric.Name == name {
				for _, p := range sum.DataPoints {
					failed, _ := p.Attributes.Value("error.type")
					counts[failed.AsString()] += p.Value
				}
			}
		}
	}
	return counts
}

// follows asserts that a message was handled in the trace of who sent it: the
// sender's span is its parent, and linked, as a backend may show either.
func (m *messages) follows(process, send tracetest.SpanStub) {
	m.Helper()
	require.Equal(m, send.SpanContext.TraceID(), process.SpanContext.TraceID())
	require.Equal(m, send.SpanContext.SpanID(), process.Parent.SpanID())
	require.True(m, process.Parent.IsRemote())
	require.Len(m, process.Links, 1)
	require.Equal(m, send.SpanContext.SpanID(), process.Links[0].SpanContext.SpanID())
}

func (m *messages) subscribe(name string, core func(context.Context, *testv1.CoreRequest) error, stored func(context.Context, *testv1.StoredRequest) error) {
	m.Helper()
	aegistest.Serve(m, m.conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{Core: core, Stored: stored},
			aegis.EachInstance())
	}, m.server, aegis.WithInstance(name))
}

func TestEventsAreHandledInTheTraceOfTheirPublisher(t *testing.T) {
	m := newMessages(t)
	worker, err := aegistestv1aegis.NewProbeServiceClient(m.conn, m.client)
	require.NoError(t, err)
	var failed atomic.Bool
	m.subscribe("a", nil, func(ctx context.Context, _ *testv1.StoredRequest) error {
		_, err := worker.Do(ctx, &testv1.DoRequest{}) // to nobody: its span is what matters
		require.Error(t, err)
		if failed.CompareAndSwap(false, true) {
			return errors.New("not yet")
		}
		return nil
	})
	m.subscribe("b", nil, func(context.Context, *testv1.StoredRequest) error { return nil })
	publisher, err := aegistestv1aegis.NewEventServicePublisher(m.conn, m.client)
	require.NoError(t, err)
	ctx, outer := m.traces.Tracer("test").Start(t.Context(), "outer")
	_, err = publisher.Stored(ctx, &testv1.StoredRequest{})
	require.NoError(t, err)
	outer.End()

	publish := m.named(1, "publish aegistest.v1.EventService.Stored")[0]
	require.Equal(t, outer.SpanContext().SpanID(), publish.Parent.SpanID())
	require.Empty(t, publish.Links)
	common := map[string]any{"messaging.system": "nats", "messaging.destination.name": "aegistest.v1.EventService.Stored"}
	require.Subset(t, attributes(publish), common)
	require.Equal(t, "publish", attributes(publish)["messaging.operation.name"])
	require.Equal(t, "send", attributes(publish)["messaging.operation.type"])
	attempts := map[string]map[any]tracetest.SpanStub{"a": {}, "b": {}}
	for _, process := range m.named(3, "process aegistest.v1.EventService.Stored") {
		m.follows(process, publish)
		got := attributes(process)
		require.Subset(t, got, common)
		require.Equal(t, "process", got["messaging.operation.type"])
		instance, _ := got["aegis.instance"].(string)
		attempts[instance][got["aegis.attempt"]] = process
	}
	require.Equal(t, codes.Error, attempts["a"][nil].Status.Code)
	require.Equal(t, "UNKNOWN", attributes(attempts["a"][nil])["error.type"])
	require.Equal(t, codes.Unset, attempts["a"][int64(2)].Status.Code)
	require.Equal(t, codes.Unset, attempts["b"][nil].Status.Code)
	for _, call := range m.named(2, "aegistest.v1.ProbeService/Do") {
		require.Contains(t, []any{attempts["a"][nil].SpanContext.SpanID(), attempts["a"][int64(2)].SpanContext.SpanID()}, call.Parent.SpanID(),
			"what a handler calls belongs to its span")
		require.Empty(t, call.Links)
	}
	require.Equal(t, map[string]int64{"": 1}, m.counted("messaging.client.sent.messages"))
	require.Equal(t, map[string]int64{"": 2, "UNKNOWN": 1}, m.counted("messaging.client.consumed.messages"))
}

func TestEventsOfOtherKindsHaveSpans(t *testing.T) {
	m := newMessages(t)
	m.subscribe("a", func(context.Context, *testv1.CoreRequest) error { return nil }, func(context.Context, *testv1.StoredRequest) error { return nil })
	publisher, err := aegistestv1aegis.NewEventServicePublisher(m.conn, m.client)
	require.NoError(t, err)
	require.NoError(t, publisher.Core(t.Context(), &testv1.CoreRequest{}))
	m.follows(m.named(1, "process aegistest.v1.EventService.Core")[0], m.named(1, "publish aegistest.v1.EventService.Core")[0])
	future, err := publisher.StoredAsync(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	_, err = future.Ack(t.Context())
	require.NoError(t, err)
	m.follows(m.named(1, "process aegistest.v1.EventService.Stored")[0], m.named(1, "publish aegistest.v1.EventService.Stored")[0])

	// Of a publisher that traces nothing there is nothing to link to.
	m.spans.Reset()
	silent, err := aegistestv1aegis.NewEventServicePublisher(m.conn)
	require.NoError(t, err)
	require.NoError(t, silent.Core(t.Context(), &testv1.CoreRequest{}))
	process := m.named(1, "process aegistest.v1.EventService.Core")[0]
	require.Empty(t, process.Links)
	require.False(t, process.Parent.IsValid())
}

type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer

	work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return j.work(ctx, req)
}

func TestCommandsAreWorkedInTheTraceOfTheirSender(t *testing.T) {
	m := newMessages(t)
	aegistest.Serve(t, m.conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			if job, _ := aegis.JobFromContext(ctx); job.Attempt == 1 {
				return nil, errors.New("not yet")
			}
			return &testv1.WorkResponse{}, nil
		}})
	}, m.server, aegis.WithInstance("a"))
	client, err := aegistestv1aegis.NewJobServiceClient(m.conn, m.client)
	require.NoError(t, err)
	ctx, outer := m.traces.Tracer("test").Start(t.Context(), "outer")
	command, err := client.Work(ctx, &testv1.WorkRequest{})
	require.NoError(t, err)
	outer.End()
	_, err = command.Result(t.Context())
	require.NoError(t, err)

	send := m.named(1, "send aegistest.v1.JobService.Work")[0]
	require.Equal(t, outer.SpanContext().SpanID(), send.Parent.SpanID())
	require.Equal(t, map[string]any{
		"messaging.system": "nats", "messaging.destination.name": "aegistest.v1.JobService.Work",
		"messaging.operation.name": "send", "messaging.operation.type": "send",
	}, attributes(send))
	want := map[string]any{
		"messaging.system": "nats", "messaging.destination.name": "aegistest.v1.JobService.Work",
		"messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.message.id": command.ID(), "aegis.instance": "a",
	}
	attempts := m.named(2, "process aegistest.v1.JobService.Work")
	m.follows(attempts[0], send)
	m.follows(attempts[1], send)
	require.Equal(t, codes.Error, attempts[0].Status.Code)
	want["error.type"] = "UNKNOWN"
	require.Equal(t, want, attributes(attempts[0]))
	require.Equal(t, codes.Unset, attempts[1].Status.Code)
	delete(want, "error.type")
	want["aegis.attempt"] = int64(2)
	require.Equal(t, want, attributes(attempts[1]))
	require.Equal(t, map[string]int64{"": 1, "UNKNOWN": 1}, m.counted("messaging.client.consumed.messages"))
}
