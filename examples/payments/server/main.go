// Command server serves payments.v1.PaymentsService until it is interrupted, over the NATS
// that the environment names.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"github.com/aegisrpc/aegis/examples/payments"
	"github.com/aegisrpc/aegis/examples/payments/gen/payments/v1/paymentsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err) //nolint:gocritic // the process ends, and with it the signals
	}
}

func run(ctx context.Context) error {
	conn, err := aegisenv.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	store, err := payments.NewStore(ctx, conn.NATS())
	if err != nil {
		return err
	}
	service, err := payments.New(store, conn)
	if err != nil {
		return err
	}
	srv, err := aegis.NewServer(conn)
	if err != nil {
		return err
	}
	if err := paymentsv1aegis.RegisterPaymentsServiceServer(srv, service); err != nil {
		return err
	}
	return srv.Run(ctx)
}
