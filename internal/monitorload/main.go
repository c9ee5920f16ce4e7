// Command monitorload measures what a monitor of many instances with many open pages costs,
// and how soon it shows that a leader is dead: make monitorload.
//
//	fleet/       instances that are made up
//	pages.go     open pages: readers of live documents
//	scale.go     a monitor of the fleet
//	deaths.go    leaders that are killed, in processes of their own
//
// NATS, the fleet and the pages are in the process of the command, and the monitor in one of
// its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/examples/order/orderserver"
	"github.com/aegisrpc/aegis/internal/machine"
)

// settings are what the user may choose.
type settings struct {
	instances, services, pages int
	time                       time.Duration
	deaths                     int
}

// roles are what the children of the command do, by the first argument.
var roles = map[string]func(ctx context.Context, args []string) error{
	"monitor": serveMonitor,
	"order":   func(ctx context.Context, args []string) error { return orderserver.Run(ctx, args, os.Stdout) },
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if run, ok := role(); ok {
		err = run(ctx, os.Args[2:])
	} else {
		err = measure(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "monitorload:", err)
		os.Exit(1)
	}
}

func role() (run func(ctx context.Context, args []string) error, ok bool) {
	if len(os.Args) < 2 {
		return nil, false
	}
	run, ok = roles[os.Args[1]]
	return run, ok
}

func measure(ctx context.Context) error {
	var s settings
	flag.IntVar(&s.instances, "instances", 1000, "instances of the fleet")
	flag.IntVar(&s.services, "services", 50, "services that they are of")
	flag.IntVar(&s.pages, "pages", 100, "open pages")
	flag.DurationVar(&s.time, "time", 30*time.Second, "how long each figure is measured")
	flag.IntVar(&s.deaths, "deaths", 10, "leaders that are killed")
	flag.Parse()
	if flag.NArg() > 0 || s.services < 1 || s.instances < s.services || s.pages < 0 || s.time <= 0 || s.deaths < 0 {
		flag.Usage()
		return fmt.Errorf("these arguments make no sense: %q", os.Args[1:])
	}
	fmt.Printf("%s, load %s\n", machine.Processor(), machine.LoadAverages())
	if err := measureScale(ctx, s); err != nil {
		return err
	}
	return measureDeaths(ctx, s.deaths)
}
