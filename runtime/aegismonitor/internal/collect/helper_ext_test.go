package collect_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/collect"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

const (
	// deadline is far more than anything takes here.
	deadline = 30 * time.Second

	probeService = aegistestv1aegis.ProbeServiceName
	jobService   = aegistestv1aegis.JobServiceName
	orderService = orderv1aegis.OrderServiceName
)

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, deadline, 10*time.Millisecond, what)
}

// watched is a collector at work that tells a recorder.
type watched struct {
	*recorder

	logs *logs
	stop func()
}

// watch starts a collector on a connection, with somebody who looks at everything.
func watch(t *testing.T, conn *aegis.Conn) *watched {
	t.Helper()
	w := &watched{recorder: newRecorder(), logs: &logs{}}
	var looked interest.Interest
	looked.Look(interest.Figures)
	looked.Look(interest.Work)
	c := collect.StartWith(conn, w.recorder, &looked, collect.Config{Logger: slog.New(slog.NewTextHandler(w.logs, nil))})
	w.stop = sync.OnceFunc(c.Stop)
	t.Cleanup(w.stop)
	return w
}

// logs keeps what is logged.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte("\n"))
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// silent keeps warnings that a test provokes out of its output.
func silent() aegis.LoggerOption { return aegis.WithLogger(slog.New(slog.DiscardHandler)) }

// fails is the text of a request that fails.
const fails = "fails"

// probe is a ProbeService that answers at once.
type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probe) Do(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	if req.GetText() == fails {
		return nil, aegis.Errorf(aegis.CodeAborted, "as it was asked to")
	}
	return &testv1.DoResponse{Text: req.GetText()}, nil
}

// desk is an OrderService.
type desk struct {
	orderv1aegis.UnimplementedOrderServiceServer
}

func (desk) OnLeading(context.Context, aegis.Term) error { return nil }

func (desk) PlaceOrder(_ context.Context, req *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	return &orderv1.PlaceOrderResponse{Order: &orderv1.Order{Id: req.GetId()}}, nil
}

// serve runs a server, and returns the function that stops it.
func serve(t *testing.T, conn *aegis.Conn, name string, register func(*aegis.Server) error) (stop func()) {
	t.Helper()
	return aegistest.Start(t, conn, register, silent(), aegis.WithInstance(name), aegis.WithHeartbeat(500*time.Millisecond)).Stop
}

func serveProbe(t *testing.T, conn *aegis.Conn, name string) (stop func()) {
	t.Helper()
	return serve(t, conn, name, func(srv *aegis.Server) error { return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}) })
}

// serveOrders runs a candidate.
func serveOrders(t *testing.T, conn *aegis.Conn, name string) (stop func()) {
	t.Helper()
	return stand(t, conn, name, election.Config{Lease: time.Second})
}

// stand runs a candidate with this election.
func stand(t *testing.T, conn *aegis.Conn, name string, e election.Config) (stop func()) {
	t.Helper()
	return serve(t, conn, name, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, desk{}, aegis.WithElection(e))
	})
}

func newProbes(t *testing.T, n *aegistest.NATS) aegistestv1aegis.ProbeServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewProbeServiceClient(n.Connect(t))
	require.NoError(t, err)
	return client
}
