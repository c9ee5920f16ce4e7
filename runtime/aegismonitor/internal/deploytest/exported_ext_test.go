package deploytest_test

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
	dto "github.com/prometheus/client_model/go"
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

type (
	echo struct {
		echov1aegis.UnimplementedEchoServiceServer
	}
	jobs struct {
		aegistestv1aegis.UnimplementedJobServiceServer
	}
	leader struct {
		aegistestv1aegis.UnimplementedLeaderServiceServer
	}
)

func (jobs) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return &testv1.OnceResponse{}, nil
}

func (leader) Lead(context.Context, *testv1.CountRequest) (*testv1.CountResponse, error) {
	return &testv1.CountResponse{}, nil
}

func (leader) OnLeading(context.Context, aegis.Term) error { return nil }

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

// conf keeps the commands of one service from working, so that there is a part that is broken.
const conf = `authorization {users: [{user: u, password: pw, permissions: {publish: {deny: ["$JS.API.STREAM.CREATE.aegis-commands-aegistest-v1-JobService"]}}}]}`

// ofInstances returns all that an instance exports which has handled calls and events, has
// refused some, leads a group, and has a part that cannot work.
func ofInstances(t *testing.T) prometheus.Gatherer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	url := strings.Replace(aegistest.StartNATSWithConfig(t, path).URL(), "://", "://u:pw@", 1)
	conn, err := aegis.Connect(t.Context(), url, aegis.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			echov1aegis.RegisterEchoServiceServer(srv, echo{}),
			aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}),
			aegistestv1aegis.RegisterLeaderServiceServer(srv, leader{}),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Core: func(context.Context, *testv1.CoreRequest) error { return nil },
			}, aegis.EachInstance()),
		)
	})
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	_, err = client.Echo(t.Context(), &echov1.EchoRequest{Text: "a"})
	require.NoError(t, err)
	publisher, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	require.NoError(t, publisher.Core(t.Context(), &testv1.CoreRequest{}))
	for _, recorder := range srv.Recorders() {
		for _, m := range recorder.Methods() {
			m.Refuse(time.Now(), health.RefusedOverloaded)
		}
	}
	require.Eventually(t, func() bool {
		for range srv.Leading() {
			return true
		}
		return false
	}, 30*time.Second, 5*time.Millisecond)
	c, err := aegisprom.NewCollector(srv)
	require.NoError(t, err)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	return registry
}

// exported returns the labels of all metrics that instances and the monitor export.
func exported(t *testing.T) checker {
	t.Helper()
	families, err := prometheus.Gatherers{ofInstances(t), ofMonitor(t)}.Gather()
	require.NoError(t, err)
	c := checker{}
	for _, f := range families {
		has := names{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				has[l.GetName()] = true
			}
		}
		if f.GetType() != dto.MetricType_HISTOGRAM {
			c[f.GetName()] = has
			continue
		}
		c[f.GetName()+"_sum"], c[f.GetName()+"_count"] = has, has
		bucket := set("le")
		for l := range has {
			bucket[l] = true
		}
		c[f.GetName()+"_bucket"] = bucket
	}
	return c
}
