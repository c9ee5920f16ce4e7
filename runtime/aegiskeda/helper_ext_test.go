package aegiskeda_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegiskeda"
	"github.com/aegisrpc/aegis/runtime/aegiskeda/internal/externalscaler"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// patience is far more than anything takes here, and an election of NATS too.
const patience = 60 * time.Second

// tick is how often a condition is looked at.
const tick = 20 * time.Millisecond

// caller calls a scaler by gRPC, as KEDA does.
type caller struct {
	t      *testing.T
	scaler *aegiskeda.Scaler
	url    string
	http   *http.Client
}

// serve serves a scaler on a connection.
func serve(t *testing.T, conn *aegis.Conn) *caller {
	t.Helper()
	scaler, err := aegiskeda.New(conn)
	require.NoError(t, err)
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	server := httptest.NewUnstartedServer(scaler)
	server.Config.Protocols = both
	server.Start()
	gRPC := new(http.Protocols)
	gRPC.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: gRPC}
	t.Cleanup(func() {
		scaler.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	return &caller{t: t, scaler: scaler, url: server.URL, http: &http.Client{Transport: transport}}
}

// connected returns a connection that ends with the test.
func connected(t *testing.T, url string) *aegis.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := aegis.Connect(ctx, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func call[Req, Res any](c *caller, method string, req *Req) (*Res, error) {
	client := connect.NewClient[Req, Res](c.http, c.url+"/externalscaler.ExternalScaler/"+method, connect.WithGRPC())
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	res, err := client.CallUnary(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// trigger is the metadata of a trigger, as KEDA hands them on.
type trigger map[string]string

func work(metric string) trigger {
	return trigger{
		"scalerAddress": "monitor:9090", "service": aegistestv1aegis.JobServiceName, "method": "Work", "metric": metric, "target": "5",
	}
}

func event(method, group string) trigger {
	return trigger{"service": aegistestv1aegis.EventServiceName, "method": method, "group": group, "metric": "lag", "target": "2.5"}
}

// with returns the trigger with another value.
func (t trigger) with(key, value string) trigger {
	c := maps.Clone(t)
	c[key] = value
	return c
}

func (t trigger) ref() *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{Name: "workers", Namespace: "default", ScalerMetadata: t}
}

// value asks for the value of a trigger.
func (c *caller) value(t trigger) (float64, error) {
	res, err := call[externalscaler.GetMetricsRequest, externalscaler.GetMetricsResponse](c, "GetMetrics",
		&externalscaler.GetMetricsRequest{ScaledObjectRef: t.ref(), MetricName: "aegis-" + t["metric"]})
	if err != nil {
		return 0, err
	}
	require.Len(c.t, res.GetMetricValues(), 1)
	v := res.GetMetricValues()[0]
	assert.Equal(c.t, "aegis-"+t["metric"], v.GetMetricName())
	assert.GreaterOrEqual(c.t, float64(v.GetMetricValue()), v.GetMetricValueFloat())
	assert.Less(c.t, float64(v.GetMetricValue()), v.GetMetricValueFloat()+1)
	return v.GetMetricValueFloat(), nil
}

// active asks whether a trigger is active.
func (c *caller) active(t trigger) (bool, error) {
	res, err := call[externalscaler.ScaledObjectRef, externalscaler.IsActiveResponse](c, "IsActive", t.ref())
	return res.GetResult(), err
}

// becomes waits until a trigger has a value and is active, or not.
func (c *caller) becomes(t trigger, value float64, active bool) {
	c.t.Helper()
	require.EventuallyWithT(c.t, func(e *assert.CollectT) {
		v, err := c.value(t)
		require.NoError(e, err)
		is, err := c.active(t)
		require.NoError(e, err)
		require.InDelta(e, value, v, 1e-9)
		require.Equal(e, active, is)
	}, patience, tick)
}

// watch opens StreamIsActive, and sends what comes.
func (c *caller) watch(t trigger) <-chan bool {
	client := connect.NewClient[externalscaler.ScaledObjectRef, externalscaler.IsActiveResponse](
		c.http, c.url+"/externalscaler.ExternalScaler/StreamIsActive", connect.WithGRPC())
	told := make(chan bool, 16)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		defer close(told)
		stream, err := client.CallServerStream(ctx, connect.NewRequest(t.ref()))
		if err != nil {
			return
		}
		defer func() { _ = stream.Close() }()
		for stream.Receive() {
			told <- stream.Msg().GetResult()
		}
	}()
	return told
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		require.True(t, ok, "it has ended")
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// jobs works commands by a function.
type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer

	work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return j.work(ctx, req)
}

// run runs a server until the returned function is called, or the test ends.
func run(t *testing.T, conn *aegis.Conn, register func(*aegis.Server) error) (stop func()) {
	t.Helper()
	return aegistest.Start(t, conn, register).Stop
}

func send(t *testing.T, conn *aegis.Conn, n int, opts ...aegis.SendOption) {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	for range n {
		_, err := client.Work(t.Context(), &testv1.WorkRequest{Text: "job"}, opts...)
		require.NoError(t, err)
	}
}
