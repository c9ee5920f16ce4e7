// Command server is one of any number of processes that serve
// order.v1.OrderService; one of them, the leader, handles the calls.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/examples/order/book"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func main() {
	natsURL := flag.String("nats", nats.DefaultURL, "`URL` of the NATS server, which needs JetStream")
	name := flag.String("name", fmt.Sprint("order-", os.Getpid()), "name of this instance, unlike that of any other")
	heartbeat := flag.Duration("heartbeat", 2*time.Second, "how often this instance says that it lives")
	limits := flag.String("limits", "", "`file` with the limits, such as {\"version\":1,\"max_quantity\":1000}; default: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	conn, err := aegis.Connect(ctx, *natsURL)
	check(err)
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Println(*name, "is", s) })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), aegis.WithHeartbeat(*heartbeat), hook)
	check(err)
	service, err := book.NewService(conn, *limits)
	check(err)
	check(orderv1aegis.RegisterOrderServiceServer(srv, service))
	var telling sync.WaitGroup
	telling.Go(func() { tell(srv) })
	check(srv.Run(ctx)) // serves until ctx ends, then finishes what runs and lets another lead
	telling.Wait()
}

// tell prints when this instance begins to lead and when it ends.
func tell(srv *aegis.Server) {
	for change := range srv.WatchLeading(context.Background()) { // until the server has stopped
		switch {
		case change.Leading:
			fmt.Println(srv.Instance(), "leads in term", change.Term.Token)
		case change.Cause == nil:
			fmt.Println(srv.Instance(), "has given up the lead")
		default:
			fmt.Println(srv.Instance(), "has lost the lead:", change.Cause)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "order server:", err)
		os.Exit(1)
	}
}
