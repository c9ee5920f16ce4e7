package aegistest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

// patience is far more than anything takes here.
const patience = 30 * time.Second

// lease is longer than a test waits: who leads sooner has not waited for it.
const lease = election.MaxLease

// desk is an instance of the order service.
type desk struct {
	orderv1aegis.UnimplementedOrderServiceServer

	inside chan struct{}   // told when a handler waits for its context, if not nil
	ended  chan<- struct{} // told when it has ended
}

func (desk) OnLeading(context.Context, aegis.Term) error { return nil }

func (d desk) PlaceOrder(ctx context.Context, req *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	if d.inside != nil && req.GetId() == "held" {
		close(d.inside)
		<-ctx.Done()
		close(d.ended)
		return nil, ctx.Err()
	}
	call, _ := aegis.CallFromContext(ctx)
	return &orderv1.PlaceOrderResponse{Instance: call.Instance(), Order: &orderv1.Order{Id: req.GetId()}}, nil
}

func (desk) ReconcileBook(context.Context, *orderv1.ReconcileBookRequest) (*orderv1.ReconcileBookResponse, error) {
	return &orderv1.ReconcileBookResponse{}, nil
}

// orders registers an order service with an election of this lease; 0 is the default.
func orders(d desk, lease time.Duration) func(*aegis.Server) error {
	return func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, d, aegis.WithElection(election.Config{Lease: lease}))
	}
}

func newOrders(t *testing.T, conn *aegis.Conn) orderv1aegis.OrderServiceClient {
	t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	return client
}

// place places an order, and returns the instance that has taken it.
func place(t *testing.T, client orderv1aegis.OrderServiceClient) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"})
	require.NoError(t, err)
	return res.GetInstance()
}

func leader(t *testing.T, instances ...*aegistest.Instance) *aegistest.Instance {
	t.Helper()
	return aegistest.Leader(t, orderv1aegis.OrderServiceName, "default", instances...)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, time.Millisecond, what)
}

// closes waits until a channel is closed.
func closes(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatal("it does not happen:", what)
	}
}

// held is an order whose handler waits for the end of its context.
func held() *orderv1.PlaceOrderRequest { return &orderv1.PlaceOrderRequest{Id: "held"} }

// run runs a server as a program does, without aegistest, until the returned function is
// called or the test ends.
func run(t *testing.T, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) (stop func()) {
	t.Helper()
	srv, err := aegis.NewServer(conn, opts...)
	require.NoError(t, err)
	require.NoError(t, register(srv))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}
