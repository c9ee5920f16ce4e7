// Command watcher follows the accepted orders, as a risk service, of which one
// instance checks each order, or as a monitor, of which each instance sees all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// kinds of watchers, and who of them gets an event.
var kinds = map[string]aegis.SubscribeOption{
	"risk":    aegis.Compete("risk"),
	"monitor": aegis.EachInstance(),
}

func main() {
	natsURL := flag.String("nats", nats.DefaultURL, "`URL` of the NATS server")
	kind := flag.String("as", "monitor", "`kind`: risk or monitor")
	name := flag.String("name", "", "name of this instance, under which it goes on where it was (default: the kind and the process)")
	flag.Parse()
	share, known := kinds[*kind]
	if !known {
		check(fmt.Errorf("--as %q: use risk or monitor", *kind))
	}
	if *name == "" {
		*name = fmt.Sprint(*kind, "-", os.Getpid())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	conn, err := aegis.Connect(ctx, *natsURL)
	check(err)
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Println(*name, "is", s) })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), hook)
	check(err)
	check(orderv1aegis.SubscribeOrderServiceEvents(srv, orderv1aegis.OrderServiceEvents{
		OrderPlaced: func(_ context.Context, ev *orderv1.OrderPlacedRequest) error {
			o := ev.GetOrder()
			fmt.Printf("order %d %s: %d %s\n", o.GetSequence(), o.GetId(), o.GetQuantity(), o.GetSymbol())
			return nil
		},
	}, share, aegis.StartFrom(aegis.StartAll())))
	check(srv.Run(ctx)) // until ctx ends
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "order watcher:", err)
		os.Exit(1)
	}
}
