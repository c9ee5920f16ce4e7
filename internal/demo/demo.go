// Package demo shows what Aegis promises with real processes, a real NATS server and real
// faults. It leaves neither a process nor a file behind, and needs a Unix system.
//
//	demo.go                  the parts, and the roles of this program's own children
//	stage.go process.go      NATS, the processes, and what is printed about them
//	registry.go              what a part shows of the registry
//	client.go                what the client processes of both parts have in common
//	echo.go                  the first part: what happens, in order
//	echo_client.go           its client process
//	echo_balance.go          what the client saw against what the servers did
//	order.go                 the second part
//	order_client.go          its client process
//	order_watch.go           a stream of all orders, and a broadcast
//	order_events.go          the programs that are told of each order
//	order_commands.go        commands that run while servers are lost
//	order_balance.go         what the client was told against what the book says
//	lasting.go               the demo that goes on until Ctrl-C
//	lasting_server.go        its servers, which are started again
//	lasting_load.go          what they are asked to do
//	lasting_faults.go        what is done to them
//	lasting_monitor.go       the monitor that shows them
package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/aegisrpc/aegis/examples/echo/echoserver"
	"github.com/aegisrpc/aegis/examples/order/orderserver"
	"github.com/aegisrpc/aegis/examples/order/orderwatcher"
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

// The roles of the processes in which the demo starts its program again.
const (
	echoServerRole   = "echo-server"
	orderServerRole  = "order-server"
	orderWatcherRole = "order-watcher"
)

// roles are the tasks of those processes, by their first argument.
var roles = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	echoServerRole:   echoserver.Run,
	echoClientRole:   echoClient,
	orderServerRole:  orderserver.Run,
	orderClientRole:  orderClient,
	orderWatcherRole: orderwatcher.Run,
}

const next = `All went as promised.

What to try next:
  make test                       the tests
  go run ./examples/echo/server   a server with a NATS of its own; it prints how to call it
  README.md                       a service of your own, from the proto to the first call
  docs/protocol.md                what travels over NATS
`

// Run shows the demo, or does the task of one of its processes: a program that has nothing
// else to do calls it with its arguments.
func Run(ctx context.Context, args []string, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := Program{Self: []string{self}, Next: next}
	if len(args) > 0 && roles[args[0]] != nil {
		return p.Play(ctx, args, out)
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.BoolVar(&p.Forever, "forever", false, ForeverUsage)
	faults := flags.Bool("faults", true, FaultsUsage)
	flags.BoolVar(&p.Monitor, "monitor", false, MonitorUsage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; the demo takes none", flags.Arg(0))
	}
	p.NoFaults = !*faults
	return p.Show(ctx, out)
}

// The usage of the flags of the demo.
const (
	ForeverUsage = "keep servers under load and faults until Ctrl-C, and start those again that end"
	FaultsUsage  = "with --forever, kill and pause servers"
	MonitorUsage = "with --forever, show the servers on a web page (default: without one)"
)

// ErrNotForever is wrapped by the error of Program.Show for NoFaults or Monitor without
// Forever.
var ErrNotForever = errors.New("is for --forever")

// Program is a program that shows the demo.
type Program struct {
	// Self is the command that starts the program again, to call Run with further arguments.
	Self []string
	// Next is printed when all went as promised.
	Next string
	// Forever keeps servers under load until the context ends, in place of the parts that are
	// counted in the end.
	Forever bool
	// NoFaults leaves it to others to kill and pause those servers.
	NoFaults bool
	// Monitor serves a web page that shows those servers.
	Monitor bool
}

// Play does the task of one of the demo's processes, as its first argument says.
func (Program) Play(ctx context.Context, args []string, out io.Writer) error {
	role, known := roles[args[0]]
	if !known {
		return fmt.Errorf("unknown role %q", args[0])
	}
	return role(ctx, args[1:], out)
}

// Show shows the demo. The error says what did not go as promised. With Forever, the end of
// the context is no error.
func (p Program) Show(ctx context.Context, out io.Writer) error {
	switch {
	case p.NoFaults && !p.Forever:
		return fmt.Errorf("--faults=false %w: the parts of the demo are about their faults", ErrNotForever)
	case p.Monitor && !p.Forever:
		return fmt.Errorf("--monitor %w: the parts of the demo take seconds", ErrNotForever)
	}
	s, err := openStage(out, p.Self)
	if err != nil {
		return err
	}
	if p.Forever {
		err := s.showLasting(ctx, p)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // it was interrupted before it had begun
		}
		return errors.Join(err, s.close())
	}
	err = s.show(ctx, parts)
	if ctx.Err() != nil {
		err = context.Cause(ctx) // which is why anything else failed
	}
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	_, err = io.WriteString(out, p.Next)
	return err
}
