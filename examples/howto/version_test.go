package howto

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	howtov2 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v2"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v2/howtov2aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// before is an instance that was deployed before there was a version 2.
type before struct {
	howtov1aegis.UnimplementedOrderServiceServer
}

func (before) GetOrder(_ context.Context, req *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	return &howtov1.GetOrderResponse{Order: &howtov1.Order{Id: req.GetId(), Cents: 100}, Instance: "before"}, nil
}

// now has the orders of version 2.
type now struct{}

func (now) GetOrder(_ context.Context, req *howtov2.GetOrderRequest) (*howtov2.GetOrderResponse, error) {
	return &howtov2.GetOrderResponse{Order: &howtov2.Order{Id: req.GetId(), Price: &howtov2.Money{Currency: req.GetId(), Amount: 100}}}, nil
}

func TestBothVersionsAreServedDuringARollout(t *testing.T) {
	conn := aegistest.Connect(t)
	serveOrders(t, conn, before{})
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { return RegisterOrders(srv, now{}) })
	v1 := newOrders(t, conn)
	v2, err := howtov2aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	served := make(map[string]bool)
	eventually(t, "old and new instances answer callers of version 1", func() bool {
		resp, err := v1.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "EUR"})
		require.NoError(t, err)
		require.Equal(t, int64(100), resp.GetOrder().GetCents())
		served[resp.GetInstance()] = true
		return len(served) == 2
	})
	for range 20 {
		resp, err := v2.GetOrder(within(t), &howtov2.GetOrderRequest{Id: "JPY"})
		require.NoError(t, err, "callers of version 2 reach the new instances alone")
		require.Equal(t, "JPY", resp.GetOrder().GetPrice().GetCurrency())
	}
	_, err = OrdersV1{next: now{}}.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "JPY"})
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
}
