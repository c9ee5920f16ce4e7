// Command server serves echo.v1.EchoService until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
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

func main() {
	impl := &echo{}
	flag.DurationVar(&impl.delay, "delay", 0, "how long each call takes")
	natsURL := flag.String("nats", "", "`URL` of the NATS server (default: start one in this process)")
	name := flag.String("name", fmt.Sprint("echo-", os.Getpid()), "name of this instance, unlike that of any other")
	heartbeat := flag.Duration("heartbeat", 2*time.Second, "how often this instance says that it lives")
	flag.Parse()
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if *natsURL == "" {
		nats, err := embednats.Start(embednats.Options{})
		check(err)
		*natsURL = nats.ClientURL()
		fmt.Println("call it: go run ./examples/echo/client --nats", *natsURL, "hello")
	}
	conn, err := aegis.Connect(ctx, *natsURL)
	check(err)
	hook := aegis.WithStateHook(func(s aegis.State) { fmt.Println(*name, "is", s, "after", impl.handled.Load(), "calls") })
	srv, err := aegis.NewServer(conn, aegis.WithInstance(*name), aegis.WithHeartbeat(*heartbeat), hook)
	check(err)
	check(echov1aegis.RegisterEchoServiceServer(srv, impl))
	check(srv.Run(ctx)) // serves until ctx ends, then finishes what is in flight
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo server:", err)
		os.Exit(1)
	}
}
