package howto

import (
	"context"
	"fmt"

	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// RepartitionPaid gives the event Paid another number of partitions, while it is published and
// handled.
func RepartitionPaid(ctx context.Context, conn *aegis.Conn, partitions int) error {
	numbers, err := aegisadmin.New(conn).SetPartitions(ctx, howtov1aegis.PaymentServiceName, "Paid", partitions)
	if err != nil {
		return err
	}
	fmt.Println("all numbers of partitions until now:", numbers)
	return nil
}
