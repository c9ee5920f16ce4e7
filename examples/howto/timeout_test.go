package howto

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// slowPrices never answers an order that is called slow, and tells how long its callers had.
type slowPrices struct {
	left  chan time.Duration
	ended chan error
}

func (p slowPrices) GetPrice(ctx context.Context, req *howtov1.GetPriceRequest) (*howtov1.GetPriceResponse, error) {
	deadline, _ := ctx.Deadline()
	p.left <- time.Until(deadline)
	if req.GetId() == "slow" {
		<-ctx.Done()
		p.ended <- ctx.Err()
		return nil, ctx.Err()
	}
	return &howtov1.GetPriceResponse{Cents: 99}, nil
}

func (s *Shop) WatchOrders(ctx context.Context, _ *howtov1.WatchOrdersRequest, out aegis.Sender[howtov1.WatchOrdersResponse]) error {
	if err := out.Send(&howtov1.WatchOrdersResponse{Order: &howtov1.Order{Id: "one"}}); err != nil {
		return err
	}
	<-ctx.Done() // and then it is silent
	return ctx.Err()
}

func TestDeadlinesTravel(t *testing.T) {
	conn := aegistest.Connect(t)
	slow := slowPrices{left: make(chan time.Duration, 100), ended: make(chan error, 100)}
	prices, err := howtov1aegis.NewPriceServiceClient(conn)
	require.NoError(t, err)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			howtov1aegis.RegisterPriceServiceServer(srv, slow),
			howtov1aegis.RegisterOrderServiceServer(srv, &Shop{prices: prices}),
		)
	})
	client := newOrders(t, conn)
	_, err = client.GetOrder(t.Context(), &howtov1.GetOrderRequest{Id: "quick"})
	require.NoError(t, err)
	require.LessOrEqual(t, <-slow.left, 2*time.Second, "the timeout of GetOrder, as the caller has no deadline")
	order, err := GetOrderWithin(t.Context(), client, "quick", patience)
	require.NoError(t, err)
	require.Equal(t, int64(99), order.GetCents())
	require.Greater(t, <-slow.left, 2*time.Second, "the deadline of the caller, which goes over the timeouts of both methods")

	_, err = GetOrderWithin(within(t), client, "slow", 300*time.Millisecond)
	require.ErrorContains(t, err, "nobody knows")
	require.LessOrEqual(t, <-slow.left, 300*time.Millisecond, "the caller's time has come through two services")
	require.Error(t, <-slow.ended, "the last handler has given up as well")

	var seen []string
	err = WatchWhileBusy(within(t), client, 200*time.Millisecond, func(o *howtov1.Order) { seen = append(seen, o.GetId()) })
	require.ErrorIs(t, err, errSilent)
	require.LessOrEqual(t, len(seen), 1, "a machine that is busy may take longer than that for the first one")
}
