//go:build linux

// Command fault breaks a single active service in every way that a laptop can,
// durable work and streams too, with real processes and a real NATS server, and
// judges what came of it.
//
//	go run ./internal/fault                     every scenario, for hours
//	SCENARIO=kill,freeze go run ./internal/fault
//	go run ./internal/fault -short              a few rounds of the main ones
//	go run ./internal/fault -list
//	SCENARIO=commands go run ./internal/fault -ackwait 1s -restarts 20 -replicas 3
//
// It prints a table and writes build/fault.json. docs/failover.md says how to
// read them.
//
// # How a run goes
//
// A scenario starts a world: NATS servers, servers and clients of the product, all
// of them this same binary in another role. Each process records what it does in a
// history that survives its death, by a clock that all of them share. The scenario
// waits until all is well, breaks something, waits for what has to happen, and
// repairs it. In the end a checker that knows nothing of processes reads the
// histories and what is stored, and counts what must not be.
//
// # Where things are
//
//	main.go      options, and which scenarios run
//	calls/       scenarios of a single active service: processes and NATS are broken
//	durable/     scenarios of commands and durable events
//	streams/     scenarios of streams
//	cost/        what standing for election costs when nothing happens
//	world/       the processes around a scenario, what they say, and their histories
//	roles/       what each child process does: the service, callers, workers, NATS...
//	proxy/       proxies that hold a connection up, or only the JetStream API
//	history/     records that survive their process, and the shared clock
//	check/       the judges: of calls, and of durable work
//	report/      build/fault.json, and the tables of docs/failover.md
//	wait/        pauses and conditions
//	proto/ gen/  the services that are broken
//
// A new scenario is a line in the table of scenarios.go of calls, durable or streams,
// and a function in the file of faults beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/aegisrpc/aegis/internal/fault/calls"
	"github.com/aegisrpc/aegis/internal/fault/cost"
	"github.com/aegisrpc/aegis/internal/fault/durable"
	"github.com/aegisrpc/aegis/internal/fault/report"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/streams"
	"github.com/aegisrpc/aegis/internal/fault/world"
)

// options are the flags.
type options struct {
	short    bool
	list     bool
	verbose  bool
	keep     bool
	rounds   int
	callers  int
	scenario string
	out      string
	table    string
	folder   string // for the files that a bad run leaves behind
	knobs    durable.Knobs
}

func main() {
	roles.Play() // never returns in a child process
	var o options
	flag.BoolVar(&o.short, "short", false, "run a few rounds of the main scenarios only")
	flag.BoolVar(&o.list, "list", false, "list the scenarios")
	flag.BoolVar(&o.verbose, "v", false, "report each round")
	flag.BoolVar(&o.keep, "keep", false, "keep logs and histories of good runs too, under build/fault")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each scenario (default: each one's own)")
	flag.IntVar(&o.callers, "callers", 0, "run only under this many callers (default: 1, then 64)")
	flag.StringVar(&o.scenario, "scenario", os.Getenv("SCENARIO"), "comma-separated `names` of the scenarios to run, also as SCENARIO=")
	flag.StringVar(&o.out, "out", "build/fault.json", "where to write the results")
	flag.StringVar(&o.table, "table", "", "print the Markdown table of the results in this `file` and run nothing")
	o.folder = "build/fault"
	o.knobs.Flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "fault:", err)
		stop()
		os.Exit(1) //nolint:gocritic,forbidigo // stop was called, and this is a main
	}
}

func run(ctx context.Context, o *options) error {
	if o.table != "" {
		return report.PrintMarkdown(os.Stdout, o.table)
	}
	chosen, err := o.choose()
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range chosen.listed {
			fmt.Fprintf(os.Stdout, "%-18s %s\n", s.name, s.what)
		}
		return nil
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	h := &world.Harness{
		Folder: o.folder, KeepAll: o.keep,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	r := report.New(os.Args[1:])
	if err := chosen.run(ctx, h, o, r); err != nil {
		if ctx.Err() != nil {
			return errors.Join(r.Save(o.out), errors.New("interrupted; what was finished is in "+o.out))
		}
		return err
	}
	if bad := r.Broken(); bad > 0 {
		return fmt.Errorf("%d of %d runs broke a promise or were not finished; logs and histories are under %s", bad, r.Runs(), o.folder)
	}
	return nil
}

// run runs what was chosen, and saves what there is after each scenario.
func (c *choice) run(ctx context.Context, h *world.Harness, o *options, r *report.Report) error {
	if len(c.calls) > 0 {
		calls.PrintHead(os.Stdout)
	}
	if err := calls.Run(ctx, h, c.calls, calls.Options{Rounds: o.rounds, Callers: o.callers}, func(res calls.Result) error {
		r.Results = append(r.Results, res)
		return finish(&res, r, o)
	}); err != nil {
		return err
	}
	if len(c.durable) > 0 {
		durable.PrintHead(os.Stdout)
	}
	if err := durable.Run(ctx, h, c.durable, &o.knobs, func(res durable.Result) error {
		r.Durable = append(r.Durable, res)
		return finish(&res, r, o)
	}); err != nil {
		return err
	}
	if c.cost {
		costs, err := cost.Measure(ctx, h)
		if err != nil {
			return fmt.Errorf("costs: %w", err)
		}
		for _, figure := range costs {
			r.Costs = append(r.Costs, figure)
			figure.Print(os.Stdout)
		}
		if err := r.Save(o.out); err != nil {
			return err
		}
	}
	if !c.streams {
		return nil
	}
	return streams.Run(ctx, h, streams.Options{Short: o.short, Rounds: o.rounds}, func(res streams.Result) error {
		r.Streams = append(r.Streams, res)
		return finish(&res, r, o)
	})
}

// finish prints the result of a scenario and saves all that there are.
func finish(result interface{ Print(out io.Writer) }, r *report.Report, o *options) error {
	result.Print(os.Stdout)
	return r.Save(o.out)
}
