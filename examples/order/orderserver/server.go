// Package orderserver is one of any number of processes that serve
// order.v1.OrderService; one of them, the leader, handles the calls.
package orderserver

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/examples/order/book"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// Run serves until ctx ends, then finishes what runs and lets another instance lead.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("order server", flag.ContinueOnError)
	natsURL := flags.String("nats", "", "`URL` of the NATS server, which needs JetStream (default: as the environment says)")
	name := flags.String("name", fmt.Sprint("order-", os.Getpid()), "name of this instance, unlike that of any other")
	heartbeat := flags.Duration("heartbeat", 2*time.Second, "how often this instance says that it lives")
	http := flags.String("http", "", "`address` for probes and metrics, such as :8080 (default: none)")
	limits := flags.String("limits", "", "`file` with the limits, such as {\"version\":1,\"max_quantity\":1000}; default: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	where, err := aegisenv.Detect()
	if err != nil {
		return err
	}
	conn, err := aegisenv.Settings{URL: *natsURL}.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Fprintln(out, *name, "is", s) })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), aegis.WithHeartbeat(*heartbeat), hook)
	if err != nil {
		return err
	}
	if *http != "" {
		stop, err := serveHTTP(srv, *http, out)
		if err != nil {
			return err
		}
		defer stop()
	}
	service, err := book.NewService(conn, book.Config{LimitsFile: *limits, Replicas: where.Replicas})
	if err != nil {
		return err
	}
	if err := orderv1aegis.RegisterOrderServiceServer(srv, service); err != nil {
		return err
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { tell(srv, out) })
	following, stop := context.WithCancel(ctx)
	defer stop()
	beside.Go(func() { service.Follow(following) })
	return srv.Run(ctx)
}

// tell prints when this instance begins to lead and when it ends.
func tell(srv *aegis.Server, out io.Writer) {
	for change := range srv.WatchLeading(context.Background()) { // until the server has stopped
		switch {
		case change.Leading:
			fmt.Fprintln(out, srv.Instance(), "leads in term", change.Term.Token)
		case change.Cause == nil:
			fmt.Fprintln(out, srv.Instance(), "has given up the lead")
		default:
			fmt.Fprintln(out, srv.Instance(), "has lost the lead:", change.Cause)
		}
	}
}
