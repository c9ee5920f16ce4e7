package payments_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/payments"
	paymentsv1 "github.com/aegisrpc/aegis/examples/payments/gen/payments/v1"
	"github.com/aegisrpc/aegis/examples/payments/gen/payments/v1/paymentsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The integration test runs the service over a NATS server in its process.
func TestIntegrationPaymentsOverNATS(t *testing.T) {
	conn := aegistest.Connect(t)
	store, err := payments.NewStore(t.Context(), conn.NATS())
	require.NoError(t, err)
	service, err := payments.New(store, conn)
	require.NoError(t, err)
	told := make(chan *paymentsv1.Payment, 10)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := paymentsv1aegis.RegisterPaymentsServiceServer(srv, service); err != nil {
			return err
		}
		return paymentsv1aegis.SubscribePaymentsServiceEvents(srv, paymentsv1aegis.PaymentsServiceEvents{
			Paid: func(_ context.Context, ev *paymentsv1.PaidRequest) error {
				told <- ev.GetPayment()
				return nil
			},
		})
	})
	client, err := paymentsv1aegis.NewPaymentsServiceClient(conn)
	require.NoError(t, err)

	outcome, err := payments.Checkout(t.Context(), client, pay("p1", 99_000))
	require.NoError(t, err)
	assert.Equal(t, payments.Paid, outcome)
	assert.Equal(t, "p1", (<-told).GetId())
	outcome, err = payments.Checkout(t.Context(), client, pay("p2", 1_001))
	require.Error(t, err)
	assert.Equal(t, payments.Refused, outcome)

	got, err := client.GetPayment(t.Context(), &paymentsv1.GetPaymentRequest{Id: "p1"})
	require.NoError(t, err)
	assert.Equal(t, int64(99_000), got.GetPayment().GetCents())
	day, err := client.CloseDay(t.Context(), &paymentsv1.CloseDayRequest{})
	require.NoError(t, err)
	res, err := day.Result(t.Context())
	require.NoError(t, err)
	assert.Equal(t, int64(1), res.GetPayments())
	assert.Equal(t, int64(99_000), res.GetCents())
}
