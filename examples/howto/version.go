package howto

import (
	"context"
	"errors"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	howtov2 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v2"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v2/howtov2aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// OrdersV1 serves the old version with what serves the new one.
type OrdersV1 struct {
	howtov1aegis.UnimplementedOrderServiceServer

	next howtov2aegis.OrderServiceServer
}

// GetOrder has cents, and so only orders in euros.
func (o OrdersV1) GetOrder(ctx context.Context, req *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	resp, err := o.next.GetOrder(ctx, &howtov2.GetOrderRequest{Id: req.GetId()})
	if err != nil {
		return nil, err
	}
	order := resp.GetOrder()
	if c := order.GetPrice().GetCurrency(); c != "EUR" {
		return nil, aegis.Errorf(aegis.CodeFailedPrecondition, "order %s is in %s: use howto.v2", order.GetId(), c)
	}
	return &howtov1.GetOrderResponse{Order: &howtov1.Order{Id: order.GetId(), Cents: order.GetPrice().GetAmount()}}, nil
}

// RegisterOrders registers both versions with one server.
func RegisterOrders(srv *aegis.Server, orders howtov2aegis.OrderServiceServer) error {
	return errors.Join(
		howtov2aegis.RegisterOrderServiceServer(srv, orders),
		howtov1aegis.RegisterOrderServiceServer(srv, OrdersV1{next: orders}),
	)
}
