package main

import (
	"context"
	"fmt"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	getTimes    = 6 // so that it is seen who answers
	cancelLimit = 5 * time.Second
)

// get asks for an order some times. The proto says sticky; a call may say
// otherwise.
func get(ctx context.Context, client orderv1aegis.OrderServiceClient, id string, how []string) error {
	var opts []aegis.CallOption
	if len(how) > 0 {
		opts = append(opts, aegis.RoundRobin())
	}
	for range getTimes {
		resp, err := client.GetOrder(ctx, &orderv1.GetOrderRequest{Id: id}, opts...)
		if err != nil {
			return err
		}
		fmt.Print(resp.GetInstance(), " has ")
		show(resp.GetOrder())
	}
	return nil
}

// reconcile sends the command and shows how it gets on. Where ctx ends, it is
// canceled.
func reconcile(ctx context.Context, client orderv1aegis.OrderServiceClient, perSecond uint32) error {
	cmd, err := client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: perSecond})
	if err != nil {
		return err
	}
	for p, err := range cmd.Progress(ctx) {
		if err != nil {
			break // Result says the same
		}
		fmt.Printf("%5.1f %%  %s\n", p.Percent, p.Message)
	}
	if ctx.Err() != nil {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit)
		defer stop()
		return cmd.Cancel(ctx)
	}
	sum, err := cmd.Result(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d orders, %d bought and %d sold, says %s in attempt %d\n",
		sum.GetOrders(), sum.GetBought(), sum.GetSold(), sum.GetInstance(), sum.GetAttempt())
	return nil
}
