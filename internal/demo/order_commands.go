package demo

import (
	"context"
	"fmt"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// orderCommandsAt is when the commands are sent: when so many orders are
	// accepted, which is what they add up.
	orderCommandsAt = orderKillAt / 2
	orderCommands   = 6
	// orderCommandPace lets them run while the first leader is killed.
	orderCommandPace = orderCommandsAt / 2
)

// orderReconciling is the commands of the part, which run while servers are lost.
type orderReconciling struct {
	client orderv1aegis.OrderServiceClient
	ended  chan struct{} // closed in the end; guards the rest

	done     []*orderv1.ReconcileBookResponse
	canceled int
	err      error
}

func startReconciling(ctx context.Context, client orderv1aegis.OrderServiceClient) *orderReconciling {
	r := &orderReconciling{client: client, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = r.run(ctx)
	}()
	return r
}

// run sends the commands, cancels one more that would take long, and waits for
// their ends.
func (r *orderReconciling) run(ctx context.Context) error {
	commands := make([]*aegis.Command[orderv1.ReconcileBookResponse], orderCommands)
	for i := range commands {
		var err error
		if commands[i], err = r.send(ctx, orderCommandPace); err != nil {
			return err
		}
	}
	if err := r.cancelOne(ctx); err != nil {
		return err
	}
	for _, c := range commands {
		sum, err := c.Result(ctx)
		if err != nil {
			return fmt.Errorf("the command %s: %w", c.ID(), err)
		}
		r.done = append(r.done, sum)
	}
	return nil
}

func (r *orderReconciling) send(ctx context.Context, pace uint32) (*aegis.Command[orderv1.ReconcileBookResponse], error) {
	return r.client.ReconcileBook(ctx, &orderv1.ReconcileBookRequest{OrdersPerSecond: pace, Through: orderCommandsAt})
}

// cancelOne cancels a command that has shown that it runs.
func (r *orderReconciling) cancelOne(ctx context.Context) error {
	c, err := r.send(ctx, 1)
	if err != nil {
		return err
	}
	for _, err := range c.Progress(ctx) {
		if err != nil {
			return fmt.Errorf("the progress of the command %s: %w", c.ID(), err)
		}
		break
	}
	if err := c.Cancel(ctx); err != nil {
		return err
	}
	if _, err := c.Result(ctx); aegis.CodeOf(err) != aegis.CodeCanceled {
		return fmt.Errorf("the command %s was canceled and ended with: %w", c.ID(), err)
	}
	r.canceled++
	return nil
}

// finish waits until all commands have ended.
func (r *orderReconciling) finish(ctx context.Context) error {
	select {
	case <-r.ended:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("the commands have not ended: %w", context.Cause(ctx))
	}
}

// again counts the commands whose first worker was lost or stopped.
func (r *orderReconciling) again() (n int) {
	for _, sum := range r.done {
		if sum.GetAttempt() > 1 {
			n++
		}
	}
	return n
}

// check holds their sums against the book.
func (r *orderReconciling) check(book []*orderv1.Order) (wrong []error) {
	if len(r.done) != orderCommands || r.canceled != 1 {
		wrong = append(wrong, fmt.Errorf("- %d commands were to be done and 1 canceled, and %d and %d were", orderCommands, len(r.done), r.canceled))
	}
	var bought int64
	for _, o := range book[:min(orderCommandsAt, len(book))] {
		bought += o.GetQuantity()
	}
	for _, sum := range r.done {
		if sum.GetBought() != bought || sum.GetSold() != 0 {
			wrong = append(wrong, fmt.Errorf("- %s added up %d bought and %d sold, and the book says %d and 0",
				sum.GetInstance(), sum.GetBought(), sum.GetSold(), bought))
		}
	}
	return wrong
}
