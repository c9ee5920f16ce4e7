package browsertest_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/aegisrpc/aegis/examples/order/orderserver"
	"github.com/aegisrpc/aegis/internal/leaktest"
)

// roleVariable makes the binary of these tests one of the processes that they watch.
const roleVariable = "AEGIS_BROWSERTEST_ROLE"

// roles are the processes that the tests watch, by name.
var roles = map[string]func(ctx context.Context, args []string) error{
	"order": func(ctx context.Context, args []string) error { return orderserver.Run(ctx, args, os.Stdout) },
	"jobs":  serveJobs,
}

func TestMain(m *testing.M) {
	run, ok := roles[os.Getenv(roleVariable)]
	if !ok {
		leaktest.Run(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
