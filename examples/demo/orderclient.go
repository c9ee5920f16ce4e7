package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
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

// acceptedOrder is what the client was told of an order.
type acceptedOrder struct {
	ID       string `json:"id"`
	Sequence uint64 `json:"sequence"`
	Term     uint64 `json:"term"`
	// Instance answered, At.
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// orderReport is what the client went through.
type orderReport struct {
	// Repeated counts the calls that were made again, under the same id.
	Repeated int64 `json:"repeated"`
}

// orderLoad is what the client process is told to do.
type orderLoad struct {
	natsURL  string
	orders   int
	inFlight int
	every    time.Duration
}

func (l *orderLoad) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(orderClientRole, flag.ContinueOnError)
	flags.StringVar(&l.natsURL, "nats", "", "`URL` of the NATS server")
	flags.IntVar(&l.orders, "orders", 1, "how many orders to place")
	flags.IntVar(&l.inFlight, "in-flight", 1, "how many of them at once")
	flags.DurationVar(&l.every, "every", time.Millisecond, "the time between two calls, for each of those")
	return flags
}

func (l *orderLoad) args() []string {
	return []string{
		"--nats", l.natsURL, "--orders", strconv.Itoa(l.orders), "--in-flight", strconv.Itoa(l.inFlight), "--every", l.every.String(),
	}
}

// orderClient is the client process: it places orders, and prints orderNews as
// JSON lines.
func orderClient(ctx context.Context, args []string, out io.Writer) error {
	p := &orderPlacer{}
	if err := p.load.flags().Parse(args); err != nil {
		return err
	}
	conn, err := aegis.Connect(ctx, p.load.natsURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	if p.client, err = orderv1aegis.NewOrderServiceClient(conn); err != nil {
		return err
	}
	return p.run(ctx, json.NewEncoder(out))
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
	var begun atomic.Int64
	results := make(chan result, p.load.orders) // so that a slow reader of the news slows no call
	for range p.load.inFlight {
		go func() {
			pace := time.NewTicker(p.load.every)
			defer pace.Stop()
			for n := begun.Add(1); n <= int64(p.load.orders); n = begun.Add(1) {
				<-pace.C
				order, err := p.place(ctx, n, pace)
				results <- result{order, err}
			}
		}()
	}
	for range p.load.orders {
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
