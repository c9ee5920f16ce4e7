package demo

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	orderClientRole = "order-client"
	// orderSymbols is how many symbols are traded.
	orderSymbols = 8
)

// orderNews is a line of what the client process prints.
type orderNews struct {
	// Accepted comes with each order.
	Accepted *acceptedOrder `json:"accepted,omitempty"`
	// Report comes with the last line.
	Report *orderReport `json:"report,omitempty"`
}

// acceptedOrder is an order as its answer has described it to the client.
type acceptedOrder struct {
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	Term     uint64 `json:"term"`
	// Instance answered, At.
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// orderReport is printed when all orders are accepted.
type orderReport struct {
	// Repeated counts the calls that were made again, under the same id.
	Repeated int64 `json:"repeated"`
}

// orderLoad says how many orders the client process places, and how fast.
type orderLoad struct {
	load

	every time.Duration
}

func (l *orderLoad) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(orderClientRole, flag.ContinueOnError)
	l.addFlags(flags)
	flags.DurationVar(&l.every, "every", time.Millisecond, "the time between two calls of one of those at once")
	return flags
}

func (l *orderLoad) args() []string { return append(l.load.args(), "--every", l.every.String()) }

// orderClient is the client process: it places orders, and prints orderNews as
// JSON lines.
func orderClient(ctx context.Context, args []string, out io.Writer) error {
	p := &orderPlacer{}
	return asClient(ctx, p.load.flags(), args, &p.load.load, func(conn *aegis.Conn) (err error) {
		if p.client, err = orderv1aegis.NewOrderServiceClient(conn); err != nil {
			return err
		}
		return p.run(ctx, json.NewEncoder(out))
	})
}

// orderPlacer is the client process while it places orders.
type orderPlacer struct {
	load     orderLoad
	client   orderv1aegis.OrderServiceClient
	repeated atomic.Int64
}

func (p *orderPlacer) run(ctx context.Context, out *json.Encoder) error {
	type result struct {
		order acceptedOrder
		err   error
	}
	paces := make([]*time.Ticker, p.load.inFlight) // of the callers
	for i := range paces {
		paces[i] = time.NewTicker(p.load.every)
		defer paces[i].Stop()
	}
	results := each(&p.load.load, func(caller int, n int64) result {
		<-paces[caller].C
		order, err := p.place(ctx, n, paces[caller])
		return result{order, err}
	})
	for range p.load.count {
		r := <-results
		if r.err != nil {
			return r.err
		}
		if err := out.Encode(orderNews{Accepted: &r.order}); err != nil {
			return err
		}
	}
	return out.Encode(orderNews{Report: &orderReport{Repeated: p.repeated.Load()}})
}

// place calls until the order is accepted. A call that fails may have been
// handled or not; under its id it does no harm to make it again.
func (p *orderPlacer) place(ctx context.Context, n int64, pace *time.Ticker) (acceptedOrder, error) {
	req := orderRequest(n)
	for {
		resp, err := p.client.PlaceOrder(ctx, req)
		if o := resp.GetOrder(); err == nil {
			return acceptedOrder{ID: o.GetId(), Sequence: o.GetSequence(), Term: o.GetTerm(), Instance: resp.GetInstance(), At: time.Now()}, nil
		}
		switch aegis.CodeOf(err) {
		case aegis.CodeUnavailable, aegis.CodeAborted, aegis.CodeDeadlineExceeded:
			p.repeated.Add(1)
		default:
			return acceptedOrder{}, fmt.Errorf("place %s: %w", req.GetId(), err)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return acceptedOrder{}, ctx.Err()
		}
	}
}

// orderRequest is the client's n-th order, from 1 on.
func orderRequest(n int64) *orderv1.PlaceOrderRequest {
	return &orderv1.PlaceOrderRequest{
		Id: fmt.Sprint("demo-", n), Symbol: fmt.Sprint("AEGIS", n%orderSymbols), Side: orderv1.Side_SIDE_BUY, Quantity: n, PriceCents: 1250,
	}
}
