package aegisprom_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/leaktest"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisprom"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

type echo struct {
	echov1aegis.UnimplementedEchoServiceServer
}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	if req.GetText() == "" {
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "the text is empty")
	}
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

func serve(t *testing.T, conn *aegis.Conn, opts ...aegis.ServerOption) (*aegis.Server, *prometheus.Registry) {
	t.Helper()
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	}, opts...)
	c, err := aegisprom.NewCollector(srv)
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	return srv, registry
}

func TestACollectorNeedsAServer(t *testing.T) {
	_, err := aegisprom.NewCollector(nil)
	require.ErrorContains(t, err, "the server to collect from is nil")
}

func TestWhatPrometheusGets(t *testing.T) {
	conn := aegistest.Connect(t)
	srv, registry := serve(t, conn, aegis.WithInstance("a"))
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	for _, text := range []string{"a", "b", "", "c"} {
		_, err := client.Echo(t.Context(), &echov1.EchoRequest{Text: text})
		require.Equal(t, text == "", err != nil)
	}
	var method *health.Method
	for _, recorder := range srv.Recorders() {
		method = recorder.Method("Echo")
	}
	// A reply may be out before it is counted.
	require.Eventually(t, func() bool { return method.Totals().Requests == 4 }, 15*time.Second, time.Millisecond)
	method.Refuse(time.Now(), health.RefusedOverloaded)
	want := `
# HELP aegis_server_ready Whether the server is running, connected, healthy by its checks, and all its parts work.
# TYPE aegis_server_ready gauge
aegis_server_ready{aegis_instance="a"} 1
# HELP aegis_server_refused_total Calls that were refused before a handler ran, by reason.
# TYPE aegis_server_refused_total counter
aegis_server_refused_total{aegis_instance="a",method="Echo",reason="OVERLOADED",service="echo.v1.EchoService"} 1
# HELP aegis_server_requests_in_flight Calls, events and commands whose handlers run.
# TYPE aegis_server_requests_in_flight gauge
aegis_server_requests_in_flight{aegis_instance="a",method="Echo",service="echo.v1.EchoService"} 0
# HELP aegis_server_requests_total Calls, events and commands that were handled, by code.
# TYPE aegis_server_requests_total counter
aegis_server_requests_total{aegis_instance="a",code="INVALID_ARGUMENT",method="Echo",service="echo.v1.EchoService"} 1
aegis_server_requests_total{aegis_instance="a",code="OK",method="Echo",service="echo.v1.EchoService"} 3
`
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want), "aegis_server_ready", "aegis_server_refused_total",
		"aegis_server_requests_in_flight", "aegis_server_requests_total"))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)

	families, err := registry.Gather()
	require.NoError(t, err)
	found := 0
	for _, f := range families {
		switch f.GetName() {
		case "aegis_server_request_duration_seconds":
			h := f.GetMetric()[0].GetHistogram()
			require.EqualValues(t, 4, h.GetSampleCount())
			require.InDelta(t, method.Totals().Busy.Seconds(), h.GetSampleSum(), 1e-12)
			require.Len(t, h.GetBucket(), 16)
			require.EqualValues(t, 4, h.GetBucket()[15].GetCumulativeCount())
			found++
		case "aegis_server_health_score":
			require.InDelta(t, 70, f.GetMetric()[0].GetGauge().GetValue(), 10, "a quarter failed")
			found++
		}
	}
	require.Equal(t, 2, found)
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	for _, f := range families {
		require.Contains(t, string(docs), "| `"+f.GetName()+"` |")
	}
}

type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (jobs) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return nil, aegis.NewError(aegis.CodeNotFound, "gone")
}

// A server of two services, one of which publishes the events that it handles.
func TestEventsAndCommandsAreCounted(t *testing.T) {
	conn := aegistest.Connect(t)
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}),
			aegistestv1aegis.RegisterEventServiceServer(srv, aegistestv1aegis.UnimplementedEventServiceServer{}),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Core: func(context.Context, *testv1.CoreRequest) error { return nil },
			}, aegis.EachInstance()),
		)
	}, aegis.WithInstance("a"))
	c, err := aegisprom.NewCollector(srv)
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	publisher, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	require.NoError(t, publisher.Core(t.Context(), &testv1.CoreRequest{}))
	client, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	command, err := client.Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)
	_, err = command.Result(t.Context())
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	want := `
# HELP aegis_server_requests_total Calls, events and commands that were handled, by code.
# TYPE aegis_server_requests_total counter
aegis_server_requests_total{aegis_instance="a",code="NOT_FOUND",method="Once",service="aegistest.v1.JobService"} 1
aegis_server_requests_total{aegis_instance="a",code="OK",method="Core",service="aegistest.v1.EventService"} 1
aegis_server_requests_total{aegis_instance="a",code="OK",method="Once",service="aegistest.v1.JobService"} 0
aegis_server_requests_total{aegis_instance="a",code="OK",method="Work",service="aegistest.v1.JobService"} 0
`
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want), "aegis_server_requests_total"))
	}, 15*time.Second, 5*time.Millisecond)
}

// A part that cannot work has a name.
func TestPartThatCannotWorkIsShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization {users: [{user: u, password: pw, permissions: {publish: {deny: ["$JS.API.STREAM.CREATE.aegis-commands-aegistest-v1-JobService"]}}}]}`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	conn, err := aegis.Connect(t.Context(), strings.Replace(n.URL(), "://", "://u:pw@", 1), aegis.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{})
	}, aegis.WithInstance("a"))
	c, err := aegisprom.NewCollector(srv)
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP aegis_server_part_broken 1 for each part of the server that cannot work, such as the commands of a method.
# TYPE aegis_server_part_broken gauge
aegis_server_part_broken{aegis_instance="a",part="the commands of aegistest.v1.JobService.Once"} 1
# HELP aegis_server_ready Whether the server is running, connected, healthy by its checks, and all its parts work.
# TYPE aegis_server_ready gauge
aegis_server_ready{aegis_instance="a"} 0
`), "aegis_server_part_broken", "aegis_server_ready"))
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	require.Contains(t, string(docs), "| `aegis_server_part_broken` |")
}

// Two servers of one process, one of them not ready.
func TestServersSideBySide(t *testing.T) {
	conn := aegistest.Connect(t)
	srv, registry := serve(t, conn, aegis.WithInstance("a"))
	other, err := aegis.NewServer(conn, aegis.WithInstance("b"))
	require.NoError(t, err)
	c, err := aegisprom.NewCollector(other)
	require.NoError(t, err)
	require.NoError(t, registry.Register(c))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP aegis_server_ready Whether the server is running, connected, healthy by its checks, and all its parts work.
# TYPE aegis_server_ready gauge
aegis_server_ready{aegis_instance="a"} 1
aegis_server_ready{aegis_instance="b"} 0
`), "aegis_server_ready"))
	require.Equal(t, "a", srv.Instance())
}
