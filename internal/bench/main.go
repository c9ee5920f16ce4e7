// Command bench measures Aegis against hand-written nats.go, side by side in
// one run: make bench. How to read what it prints: docs/benchmarks.md.
//
// It starts its processes by running itself again under the name of a role, and
// everything it starts ends with it.
//
//	scenarios/   the comparisons: who takes part, what is printed, the targets
//	roles/       what the processes do, contender beside contender
//	load/        callers: without a pause, at a rate, and as a flood
//	crew/        the processes of a scenario, as the parent sees them
//	child/       the same, as the child sees itself; psrpc uses it too
//	figures/     medians, histograms, tables and targets
//	psrpc/       a contender with a module of its own, for what it brings
//	proto/ gen/  the services that are measured
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/roles"
	"github.com/aegisrpc/aegis/internal/bench/scenarios"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == child.Command {
		os.Exit(status(child.Run(roles.All(), os.Args[2:])))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	os.Exit(status(err))
}

func status(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

func run(ctx context.Context) error {
	var s scenarios.Settings
	flag.IntVar(&s.Rounds, "rounds", 30, "rounds that count, in each comparison")
	flag.IntVar(&s.Warmups, "warm-ups", 2, "rounds before them that do not")
	flag.DurationVar(&s.RoundTime, "round-time", 500*time.Millisecond, "how long each contender runs in a round")
	flag.DurationVar(&s.FloodTime, "flood-time", 10*time.Second, "how long the flood lasts")
	flag.DurationVar(&s.SlowTime, "slow-time", time.Minute, "how long the slow reader reads")
	flag.DurationVar(&s.RestTime, "rest-time", 10*time.Second, "how long instances at rest are measured, three times")
	flag.StringVar(&s.Only, "only", "", "comma-separated scenarios, of "+scenarios.Names())
	flag.Parse()
	if flag.NArg() > 0 || s.Rounds < 1 || s.Warmups < 0 || s.RoundTime <= 0 || s.FloodTime <= 0 || s.SlowTime <= 0 || s.RestTime <= 0 {
		flag.Usage()
		return fmt.Errorf("these arguments make no sense: %q", os.Args[1:])
	}
	chosen, err := scenarios.Choose(s.Only)
	if err != nil {
		return err
	}
	printEnvironment(os.Stdout)
	missed := 0
	for _, sc := range chosen {
		fmt.Printf("\n## %s\n\n%s\n", sc.Name, sc.About)
		n, err := sc.Run(ctx, &s)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.Name, err)
		}
		missed += n
	}
	fmt.Printf("\n%d targets missed\n", missed)
	return nil
}
