// Package echoserver serves echo.v1.EchoService.
package echoserver

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

type echo struct {
	echov1aegis.UnimplementedEchoServiceServer
	delay   time.Duration
	handled atomic.Int64
}

func (e *echo) Echo(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	e.handled.Add(1)
	if req.GetText() == "" {
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "the text is empty")
	}
	time.Sleep(e.delay) // stands for work
	call, _ := aegis.CallFromContext(ctx)
	call.ResponseHeader().Set("served-for", call.RequestHeader().Get("tenant"))
	return &echov1.EchoResponse{Text: req.GetText(), Instance: call.Instance()}, nil
}

// Run serves until ctx ends, and then finishes what is in flight.
func Run(ctx context.Context, args []string, out io.Writer) error {
	impl := &echo{}
	flags := flag.NewFlagSet("echo server", flag.ContinueOnError)
	flags.DurationVar(&impl.delay, "delay", 0, "how long each call takes")
	natsURL := flags.String("nats", os.Getenv("NATS_URL"), "`URL` of the NATS server (default: start one in this process)")
	name := flags.String("name", fmt.Sprint("echo-", os.Getpid()), "name of this instance, unlike that of any other")
	heartbeat := flags.Duration("heartbeat", 2*time.Second, "how often this instance says that it lives")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *natsURL == "" {
		nats, err := embednats.Start(embednats.Options{})
		if err != nil {
			return err
		}
		defer nats.Stop()
		*natsURL = nats.ClientURL()
		fmt.Fprintln(out, "call it: NATS_URL="+*natsURL+" go run ./examples/echo/client hello")
	}
	conn, err := aegisenv.Settings{URL: *natsURL}.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Fprintln(out, *name, "is", s, "after", impl.handled.Load(), "calls") })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), aegis.WithHeartbeat(*heartbeat), hook)
	if err != nil {
		return err
	}
	if err := echov1aegis.RegisterEchoServiceServer(srv, impl); err != nil {
		return err
	}
	return srv.Run(ctx)
}
