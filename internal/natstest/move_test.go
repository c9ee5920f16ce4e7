//go:build natstest

package natstest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// exporter works commands.
type exporter struct {
	howtov1aegis.UnimplementedOrderServiceServer
}

func (exporter) ExportOrders(context.Context, *howtov1.ExportOrdersRequest) (*howtov1.ExportOrdersResponse, error) {
	return &howtov1.ExportOrdersResponse{Orders: 7}, nil
}

// subscribe handles the event until stop is called, and tells of each.
func subscribe(t *testing.T, conn *aegis.Conn, paid chan<- string) (stop func()) {
	t.Helper()
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, howtov1aegis.SubscribePaymentServiceEvents(srv, howtov1aegis.PaymentServiceEvents{
		Paid: func(_ context.Context, ev *howtov1.PaidRequest) error {
			paid <- ev.GetOrderId()
			return nil
		},
	}, aegis.Compete("ledger"), aegis.StartFrom(aegis.StartAll())))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	stop = func() {
		if cancel(); done != nil {
			require.NoError(t, <-done)
			done = nil
		}
	}
	t.Cleanup(stop)
	return stop
}

// What docs/howto/move.md says, with the commands of its page.
func TestStreamsMoveToAnotherNATS(t *testing.T) {
	oldNATS, newNATS := aegistest.StartNATS(t), aegistest.StartNATS(t)
	before, after := oldNATS.Connect(t), newNATS.Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	publisher, err := howtov1aegis.NewPaymentServicePublisher(before)
	require.NoError(t, err)
	paid := make(chan string, 100)
	stop := subscribe(t, before, paid)
	for _, id := range []string{"1", "2"} {
		_, err = publisher.Paid(ctx, &howtov1.PaidRequest{OrderId: id})
		require.NoError(t, err)
	}
	require.ElementsMatch(t, []string{"1", "2"}, []string{<-paid, <-paid})
	stop() // what it has handled is acknowledged
	_, err = publisher.Paid(ctx, &howtov1.PaidRequest{OrderId: "3"})
	require.NoError(t, err)
	orders, err := howtov1aegis.NewOrderServiceClient(before)
	require.NoError(t, err)
	command, err := orders.ExportOrders(ctx, &howtov1.ExportOrdersRequest{})
	require.NoError(t, err)

	token := leads(ctx, t, before)

	backup := filepath.Join(t.TempDir(), "backup")
	newTool(t, oldNATS.URL()).run("account", "backup", backup, "--force")
	newTool(t, newNATS.URL()).run("account", "restore", backup)
	subscribe(t, after, paid)
	require.Equal(t, "3", <-paid, "the group goes on where it was, and gets nothing again")
	aegistest.Serve(t, after, func(srv *aegis.Server) error { return howtov1aegis.RegisterOrderServiceServer(srv, exporter{}) })
	handle := howtov1aegis.OrderServiceExportOrdersCommand(after, command.ID())
	resp, err := handle.Result(ctx)
	require.NoError(t, err, "a command that was sent to the old NATS is worked at the new one")
	require.Equal(t, int32(7), resp.GetOrders())
	require.Empty(t, paid)
	require.Greater(t, leads(ctx, t, after), token, "tokens go on to grow, so that fences hold")
}

// leads has an instance lead, and returns the token of its term. It has stopped then.
func leads(ctx context.Context, t *testing.T, conn *aegis.Conn) (token uint64) {
	t.Helper()
	t.Run("leads", func(t *testing.T) {
		aegistest.Serve(t, conn, func(srv *aegis.Server) error { return howtov1aegis.RegisterPaymentServiceServer(srv, payments{}) })
		client, err := howtov1aegis.NewPaymentServiceClient(conn)
		require.NoError(t, err)
		ctx, call := aegis.NewCall(ctx)
		_, err = client.Pay(ctx, &howtov1.PayRequest{}, aegis.WaitForReady())
		require.NoError(t, err)
		token = call.Term().Token
		require.NotZero(t, token)
	})
	return token
}

// payments takes all of them.
type payments struct {
	howtov1aegis.UnimplementedPaymentServiceServer
}

func (payments) Pay(context.Context, *howtov1.PayRequest) (*howtov1.PayResponse, error) {
	return &howtov1.PayResponse{}, nil
}

func (payments) OnLeading(context.Context, aegis.Term) error { return nil }
