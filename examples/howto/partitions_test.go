package howto

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestOrderOfPaymentsHoldsWhilePartitionsChange(t *testing.T) {
	conn := aegistest.Connect(t)
	const orders, each = 5, 4
	paid := make(chan *howtov1.PaidRequest, orders*each)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return howtov1aegis.SubscribePaymentServiceEvents(srv, howtov1aegis.PaymentServiceEvents{
			Paid: func(_ context.Context, ev *howtov1.PaidRequest) error {
				paid <- ev
				return nil
			},
		}, aegis.Compete("ledger"))
	})
	publisher, err := howtov1aegis.NewPaymentServicePublisher(conn)
	require.NoError(t, err)
	for cents := range int64(each) {
		for order := range orders {
			_, err := publisher.Paid(within(t), &howtov1.PaidRequest{OrderId: strconv.Itoa(order), Cents: cents})
			require.NoError(t, err)
		}
		require.NoError(t, RepartitionPaid(within(t), conn, 3+int(cents%2)))
	}
	handled := make(map[string]int64) // how many of each order
	for range orders * each {
		select {
		case ev := <-paid:
			require.Equal(t, handled[ev.GetOrderId()], ev.GetCents(), "the order of %s", ev.GetOrderId())
			handled[ev.GetOrderId()]++
		case <-within(t).Done():
			t.Fatalf("only these were handled: %v", handled)
		}
	}
	numbers, err := aegisadmin.New(conn).Partitions(within(t), howtov1aegis.PaymentServiceName)
	require.NoError(t, err)
	require.Equal(t, map[string][]int{"Paid": {16, 3, 4, 3, 4}}, numbers)
}
