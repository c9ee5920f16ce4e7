package payments

import (
	"context"
	"fmt"

	paymentsv1 "github.com/aegisrpc/aegis/examples/payments/gen/payments/v1"
	"github.com/aegisrpc/aegis/examples/payments/gen/payments/v1/paymentsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Outcome says what became of a checkout.
type Outcome string

// The outcomes.
const (
	Paid    Outcome = "paid"
	Refused Outcome = "refused" // nothing was paid
	Unknown Outcome = "unknown" // whether it was paid has to be asked later, by GetPayment
)

// Checkout pays as a program would that calls the service. The error says why it is not paid.
func Checkout(ctx context.Context, client paymentsv1aegis.PaymentsServiceClient, req *paymentsv1.PayRequest) (Outcome, error) {
	_, err := client.Pay(ctx, req)
	switch {
	case err == nil:
		return Paid, nil
	case !aegis.MayHaveRun(err), aegis.CodeOf(err) == aegis.CodeFailedPrecondition, aegis.CodeOf(err) == aegis.CodeInvalidArgument:
		return Refused, fmt.Errorf("payment %s: %w", req.GetId(), err)
	default:
		return Unknown, fmt.Errorf("payment %s: %w", req.GetId(), err)
	}
}
