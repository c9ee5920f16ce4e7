package howto

import (
	"context"
	"errors"
	"time"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Shop serves orders, and asks another service for their prices.
type Shop struct {
	howtov1aegis.UnimplementedOrderServiceServer

	prices howtov1aegis.PriceServiceClient
}

// GetOrder calls another service with its own context, and so with the time that its
// caller has left.
func (s *Shop) GetOrder(ctx context.Context, req *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	price, err := s.prices.GetPrice(ctx, &howtov1.GetPriceRequest{Id: req.GetId()})
	if err != nil {
		return nil, err
	}
	return &howtov1.GetOrderResponse{Order: &howtov1.Order{Id: req.GetId(), Cents: price.GetCents()}}, nil
}

// GetOrderWithin waits for an order for as long as the caller likes.
func GetOrderWithin(ctx context.Context, client howtov1aegis.OrderServiceClient, id string, patience time.Duration) (*howtov1.Order, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := client.GetOrder(ctx, &howtov1.GetOrderRequest{Id: id})
	if aegis.CodeOf(err) == aegis.CodeDeadlineExceeded && aegis.MayHaveRun(err) {
		return nil, errors.New("nobody knows whether the handler ran, or runs still")
	}
	return resp.GetOrder(), err
}

// errSilent is why a stream was given up.
var errSilent = errors.New("no order came in time")

// WatchWhileBusy shows the orders of a stream until none has come for a while.
func WatchWhileBusy(ctx context.Context, client howtov1aegis.OrderServiceClient, silence time.Duration, show func(*howtov1.Order)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	orders, err := client.WatchOrders(ctx, &howtov1.WatchOrdersRequest{})
	if err != nil {
		return err
	}
	defer orders.Close()
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer timer.Stop()
	for o, err := range orders.All() {
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		timer.Reset(silence)
		show(o.GetOrder())
	}
	return nil
}
