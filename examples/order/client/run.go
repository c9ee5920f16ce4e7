package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/internal/embednats"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const runEvery = 200 * time.Millisecond

// withNATS runs a NATS server, with its files in a temporary folder, while use
// does. It lives in the client so that every order server may be killed.
func withNATS(use func(url string) error) error {
	dir, err := os.MkdirTemp("", "aegis-order-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nobody to tell
	server, err := embednats.Start(embednats.Options{StoreDir: dir})
	if err != nil {
		return err
	}
	defer server.Stop()
	fmt.Println("start servers, in other terminals: go run ./examples/order/server --nats", server.ClientURL())
	return use(server.ClientURL())
}

// run places an order every so often until ctx ends. One whose outcome is
// unknown is placed again, under the same id.
func run(ctx context.Context, client orderv1aegis.OrderServiceClient) error {
	ticker := time.NewTicker(runEvery)
	defer ticker.Stop()
	prefix := time.Now().Format("150405-")
	for n := 1; ctx.Err() == nil; {
		req := &orderv1.PlaceOrderRequest{
			Id: prefix + strconv.Itoa(n), Symbol: "AEGIS", Side: orderv1.Side_SIDE_BUY, Quantity: int64(n), PriceCents: 1250,
		}
		switch err := place(ctx, client, req); {
		case err == nil:
			n++
		case ctx.Err() != nil:
		case !repeat(err):
			return err
		default:
			fmt.Println(req.GetId(), "is to be placed again:", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// repeat reports whether a call may be made again. For many of these errors it
// is not known whether the order is accepted; its id makes that harmless.
func repeat(err error) bool {
	switch aegis.CodeOf(err) {
	case aegis.CodeUnavailable, aegis.CodeAborted, aegis.CodeDeadlineExceeded, aegis.CodeResourceExhausted:
		return !errors.Is(err, aegis.ErrConnClosed)
	default:
		return false
	}
}
