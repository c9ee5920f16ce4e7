// Package orderwatcher follows the accepted orders, as a risk service, of which one
// instance checks each order, or as a monitor, of which each instance sees all.
package orderwatcher

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// kinds of watchers, and which of them get an event.
var kinds = map[string]aegis.SubscribeOption{
	"risk":    aegis.Compete("risk"),
	"monitor": aegis.EachInstance(),
}

// Run prints each accepted order until ctx ends.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("order watcher", flag.ContinueOnError)
	natsURL := flags.String("nats", "", "`URL` of the NATS server (default: as the environment says)")
	kind := flags.String("as", "monitor", "`kind`: risk or monitor")
	name := flags.String("name", "", "name of this instance, under which it goes on where it was (default: the kind and the process)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	share, known := kinds[*kind]
	if !known {
		return fmt.Errorf("--as %q: use risk or monitor", *kind)
	}
	if *name == "" {
		*name = fmt.Sprint(*kind, "-", os.Getpid())
	}
	conn, err := aegisenv.Settings{URL: *natsURL}.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Fprintln(out, *name, "is", s) })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), hook)
	if err != nil {
		return err
	}
	err = orderv1aegis.SubscribeOrderServiceEvents(srv, orderv1aegis.OrderServiceEvents{
		OrderPlaced: func(_ context.Context, ev *orderv1.OrderPlacedRequest) error {
			o := ev.GetOrder()
			_, err := fmt.Fprintf(out, "order %d %s: %d %s\n", o.GetSequence(), o.GetId(), o.GetQuantity(), o.GetSymbol())
			return err
		},
	}, share, aegis.StartFrom(aegis.StartAll()))
	if err != nil {
		return err
	}
	return srv.Run(ctx)
}
