package book

import (
	"context"
	"fmt"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// reportsPerSecond is how often a reconciliation that is held back reports.
const reportsPerSecond = 10

// ReconcileBook reads the book from its stream, which fails if that is not what
// leaders write, and adds it up. It may be run any number of times.
func (s *Service) ReconcileBook(ctx context.Context, req *orderv1.ReconcileBookRequest) (*orderv1.ReconcileBookResponse, error) {
	job, _ := aegis.JobFromContext(ctx)
	call, _ := aegis.CallFromContext(ctx)
	book, err := s.readBook(ctx)
	if err != nil {
		return nil, err
	}
	total := book.next() - 1
	if through := req.GetThrough(); through > total {
		return nil, aegis.Permanent(invalid("through is %d, and the book has %d orders; use at most that", through, total))
	} else if through > 0 {
		total = through
	}
	step, pause := reconcilePace(req)
	sum := &orderv1.ReconcileBookResponse{Instance: call.Instance(), Attempt: int32(job.Attempt)}
	for sum.GetOrders() < total {
		for _, order := range book.page(sum.GetOrders(), min(step, int(total-sum.GetOrders()))) {
			sum.Orders++
			if order.GetSide() == orderv1.Side_SIDE_BUY {
				sum.Bought += order.GetQuantity()
			} else {
				sum.Sold += order.GetQuantity()
			}
		}
		done := aegis.Progress{
			Percent: 100 * float64(sum.GetOrders()) / float64(total), Message: fmt.Sprintf("%d of %d orders", sum.GetOrders(), total),
		}
		if err := job.Report(ctx, done); err != nil {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done(): // canceled, or this server stops
			return nil, ctx.Err()
		}
	}
	return sum, nil
}

// readBook reads the book anew. To read again a book that is wrong is no use.
func (s *Service) readBook(ctx context.Context) (*book, error) {
	known := s.replica.Load()
	r := newReplica(known.js, known.servers)
	if err := r.catchUp(ctx); aegis.CodeOf(err) == aegis.CodeDataLoss {
		return nil, aegis.Permanent(err)
	} else if err != nil {
		return nil, err
	}
	return r.book, nil
}

// reconcilePace is after how many orders to report, and how long to rest then.
func reconcilePace(req *orderv1.ReconcileBookRequest) (step int, rest time.Duration) {
	perSecond := int(req.GetOrdersPerSecond())
	if perSecond == 0 {
		return maxPage, 0
	}
	step = min(max(perSecond/reportsPerSecond, 1), maxPage)
	return step, time.Second * time.Duration(step) / time.Duration(perSecond)
}
