// Command client places orders with order.v1.OrderService, and lists them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

const usage = `usage: client [--nats URL] COMMAND

  run                                  place an order every 0.2 s until interrupted;
                                       without --nats it starts a NATS server too
  place ID SYMBOL buy|sell QUANTITY PRICE_IN_CENTS
  get ID [round-robin]                 from the instance that has this id's calls, or from
                                       one after the other
  list [AFTER_SEQUENCE]
  watch [AFTER_SEQUENCE]               the orders as they are accepted, until interrupted
  reconcile [ORDERS_PER_SECOND]        adds the book up; Ctrl-C cancels that
  reload                               every server reads its limits again

`

func main() {
	natsURL := flag.String("nats", "", "`URL` of the NATS server (default: as the environment says)")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, *natsURL, flag.Arg(0), flag.Args()[min(1, flag.NArg()):])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "order client:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, natsURL, name string, args []string) error {
	switch {
	case name == "run" && len(args) == 0 && natsURL == "":
		return withNATS(func(url string) error { return withClient(ctx, url, run) })
	case name == "run" && len(args) == 0:
		return withClient(ctx, natsURL, run)
	case name == "place" && len(args) == 5:
		req, err := parseOrder(args)
		if err != nil {
			return err
		}
		return withClient(ctx, natsURL, func(ctx context.Context, c orderv1aegis.OrderServiceClient) error { return place(ctx, c, req) })
	case name == "get" && (len(args) == 1 || len(args) == 2 && args[1] == "round-robin"):
		return withClient(ctx, natsURL, func(ctx context.Context, c orderv1aegis.OrderServiceClient) error {
			return get(ctx, c, args[0], args[1:])
		})
	case name == "reconcile" && len(args) <= 1:
		pace, err := strconv.ParseUint(strings.Join(append(args, "0")[:1], ""), 10, 32)
		if err != nil {
			return fmt.Errorf("reconcile: the orders per second: %w", err)
		}
		return withClient(ctx, natsURL, func(ctx context.Context, c orderv1aegis.OrderServiceClient) error {
			return reconcile(ctx, c, uint32(pace))
		})
	case (name == "list" || name == "watch") && len(args) <= 1:
		after, err := strconv.ParseUint(strings.Join(append(args, "0")[:1], ""), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: the sequence: %w", name, err)
		}
		show := list
		if name == "watch" {
			show = watch
		}
		return withClient(ctx, natsURL, func(ctx context.Context, c orderv1aegis.OrderServiceClient) error { return show(ctx, c, after) })
	case name == "reload" && len(args) == 0:
		return withClient(ctx, natsURL, reload)
	default:
		return errors.New("use one of the commands run, place, get, list, watch, reconcile and reload with its arguments; --help shows them")
	}
}

func withClient(ctx context.Context, natsURL string, use func(context.Context, orderv1aegis.OrderServiceClient) error) error {
	conn, err := aegisenv.Settings{URL: natsURL}.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	if err != nil {
		return err
	}
	return use(ctx, client)
}

func parseOrder(args []string) (*orderv1.PlaceOrderRequest, error) {
	sides := map[string]orderv1.Side{"buy": orderv1.Side_SIDE_BUY, "sell": orderv1.Side_SIDE_SELL}
	quantity, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("place: the quantity: %w", err)
	}
	price, err := strconv.ParseInt(args[4], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("place: the price: %w", err)
	}
	// The server says what is wrong with the rest.
	return &orderv1.PlaceOrderRequest{Id: args[0], Symbol: args[1], Side: sides[args[2]], Quantity: quantity, PriceCents: price}, nil
}

func place(ctx context.Context, client orderv1aegis.OrderServiceClient, req *orderv1.PlaceOrderRequest) error {
	began := time.Now()
	resp, err := client.PlaceOrder(ctx, req)
	if err != nil {
		return err
	}
	o := resp.GetOrder()
	fmt.Printf("%s is number %d of the book, accepted in term %d; %s answered after %v\n",
		o.GetId(), o.GetSequence(), o.GetTerm(), resp.GetInstance(), time.Since(began).Round(10*time.Microsecond))
	return nil
}

func list(ctx context.Context, client orderv1aegis.OrderServiceClient, after uint64) error {
	for {
		resp, err := client.ListOrders(ctx, &orderv1.ListOrdersRequest{After: after})
		if err != nil || len(resp.GetOrders()) == 0 {
			return err
		}
		for _, o := range resp.GetOrders() {
			after = show(o)
		}
	}
}

// watch goes on after the last order that came, whoever leads then.
func watch(ctx context.Context, client orderv1aegis.OrderServiceClient, after uint64) error {
	for ctx.Err() == nil {
		orders, err := client.WatchOrders(ctx, &orderv1.WatchOrdersRequest{After: after})
		if err == nil {
			var resp *orderv1.WatchOrdersResponse
			for resp, err = range orders.All() {
				if err != nil {
					break
				}
				after = show(resp.GetOrder())
			}
		}
		switch {
		case ctx.Err() != nil || err == nil:
		case repeat(err):
			fmt.Println("watching again after", after, "as", err)
		default:
			return err
		}
	}
	return nil
}

func reload(ctx context.Context, client orderv1aegis.OrderServiceClient) error {
	var errs []error
	for reply := range client.ReloadLimits(ctx, &orderv1.ReloadLimitsRequest{}) {
		if reply.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", reply.Instance, reply.Err))
			continue
		}
		fmt.Printf("%s has version %d of the limits: at most %d\n", reply.Instance, reply.Msg.GetVersion(), reply.Msg.GetMaxQuantity())
	}
	return errors.Join(errs...)
}

// show prints an order and returns its sequence.
func show(o *orderv1.Order) uint64 {
	side := strings.ToLower(strings.TrimPrefix(o.GetSide().String(), "SIDE_"))
	fmt.Printf("%6d  %s: %s %d %s at %d.%02d, term %d\n", o.GetSequence(), o.GetId(), side,
		o.GetQuantity(), o.GetSymbol(), o.GetPriceCents()/100, o.GetPriceCents()%100, o.GetTerm())
	return o.GetSequence()
}
