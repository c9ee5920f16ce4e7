package howto

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// there says where a call has arrived.
type there struct {
	howtov1aegis.UnimplementedOrderServiceServer

	name string
}

func (s there) GetOrder(context.Context, *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	return &howtov1.GetOrderResponse{Instance: s.name}, nil
}

func TestCallsMoveWhileBothAreServed(t *testing.T) {
	before, after := aegistest.Connect(t), aegistest.Connect(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ServeAll(ctx, []*aegis.Conn{before, after}, func(srv *aegis.Server) error {
			return howtov1aegis.RegisterOrderServiceServer(srv, there{name: "both"})
		})
	}()
	for _, conn := range []*aegis.Conn{before, after} {
		resp, err := newOrders(t, conn).GetOrder(within(t), &howtov1.GetOrderRequest{}, aegis.WaitForReady())
		require.NoError(t, err)
		require.Equal(t, "both", resp.GetInstance())
	}
	stop()
	require.NoError(t, <-done)

	gone := aegistest.Connect(t)
	gone.NATS().Close()
	err := ServeAll(within(t), []*aegis.Conn{before, gone}, func(srv *aegis.Server) error {
		return howtov1aegis.RegisterOrderServiceServer(srv, there{})
	})
	require.ErrorIs(t, err, aegis.ErrConnClosed, "one that fails ends the others")
}
