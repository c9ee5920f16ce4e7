// Command demo shows what Aegis promises with real processes, a real NATS server
// and real faults. It ends with status 0 if all went as promised, and leaves
// neither a process nor a file behind. It needs a Unix system and the go command.
//
//	main.go                  the parts, and the roles of this program's own children
//	stage.go process.go      NATS, the processes, and what is printed about them
//	registry.go              what a part shows of the registry
//	client.go                what the client processes of both parts have in common
//	echo.go                  the first part: what happens, in order
//	echo_client.go           its client process
//	echo_balance.go          what the client saw against what the servers did
//	order.go                 the second part
//	order_client.go          its client process
//	order_watch.go           a stream of all orders, and a broadcast
//	order_events.go          who is told of each order
//	order_commands.go        commands that run while servers are lost
//	order_balance.go         what the client was told against what the book says
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// parts are the parts of the demo, in their order. Each has files of its own.
var parts = []part{
	{"Three echo servers share 3,000 calls; one is killed, one is stopped.", echoPart},
	{"Three order servers elect a leader; it is killed, the next one is stopped.", orderPart},
}

type part struct {
	title string
	show  func(context.Context, *stage) error
}

// roles are the tasks of the processes in which the demo starts this program again,
// by their first argument.
var roles = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	echoClientRole:  echoClient,
	orderClientRole: orderClient,
}

const next = `All went as promised.

What to try next:
  make test                       the tests
  go run ./examples/echo/server   a server with a NATS of its own; it prints how to call it
  README.md                       a service of your own, from the proto to the first call
  docs/protocol.md                what travels over NATS
`

func main() {
	// Each of these would end the demo before it has cleaned up. SIGPIPE is not
	// among them: asked for, it would also come from the sockets of killed servers.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return demo(ctx, out)
	}
	role, known := roles[args[0]]
	if !known {
		return fmt.Errorf("unknown argument %q; the demo takes none", args[0])
	}
	return role(ctx, args[1:], out)
}

func demo(ctx context.Context, out io.Writer) error {
	s, err := openStage(out)
	if err != nil {
		return err
	}
	err = s.show(ctx, parts)
	if ctx.Err() != nil {
		err = context.Cause(ctx) // which is why anything else failed
	}
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	fmt.Fprint(out, next)
	return nil
}
