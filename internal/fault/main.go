//go:build linux

// Command fault breaks a single active service in every way that a laptop can,
// and durable work, with real processes and a real NATS server, and judges what
// came of it.
//
//	go run ./internal/fault                     every scenario, for hours
//	SCENARIO=kill,freeze go run ./internal/fault
//	go run ./internal/fault -short              a few rounds of the main ones
//	go run ./internal/fault -list
//	SCENARIO=commands go run ./internal/fault -ackwait 1s -restarts 20 -replicas 3
//
// Streams are broken as well: SCENARIO=streams, docs/streaming.md.
//
// It prints a table and writes build/fault.json. docs/failover.md says how to
// read them.
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
	"slices"
	"strings"
	"syscall"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/aegisrpc/aegis/runtime/election"
)

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
	folder   string // for what a bad run leaves behind
	knobs    knobs
}

func main() {
	roles.Play()
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
	o.knobs.flags(flag.CommandLine)
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
		return printMarkdown(os.Stdout, o.table)
	}
	chosen, err := choose(o)
	if err != nil {
		return err
	}
	if err := o.knobs.check(o); err != nil {
		return err
	}
	if o.list {
		list(os.Stdout, o, chosen)
		return nil
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	r := &runner{
		keep: o.folder, all: o.keep,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	report := newReport()
	if err := r.runAll(ctx, chosen, o, report); err != nil {
		return err
	}
	if err := r.runDurables(ctx, o, report); err != nil {
		return err
	}
	if o.costs() {
		if report.Costs, err = r.measureCosts(ctx); err != nil {
			return fmt.Errorf("costs: %w", err)
		}
		for _, c := range report.Costs {
			c.print(os.Stdout)
		}
		if err := report.save(o.out); err != nil {
			return err
		}
	}
	if o.streams() {
		if err := r.runStreams(ctx, o, report); err != nil {
			return err
		}
	}
	if bad := report.bad(); bad > 0 {
		runs := len(report.Results) + len(report.Durable) + len(report.Streams)
		return fmt.Errorf("%d of %d runs broke a promise or were not finished; logs and histories are under %s", bad, runs, r.keep)
	}
	return nil
}

func list(out io.Writer, o *options, chosen []scenario) {
	for _, s := range chosen {
		fmt.Fprintf(out, "%-18s %s\n", s.name, s.what)
	}
	for _, d := range o.allDurables() {
		fmt.Fprintf(out, "%-18s %s\n", d.name, d.what)
	}
	fmt.Fprintf(out, "%-18s %s\n", costScenario, "what standing by costs")
	fmt.Fprintf(out, "%-18s %s\n", streamScenario, "faults between the two ends of streams")
}

// runAll runs the scenarios, and saves what there is after each.
func (r *runner) runAll(ctx context.Context, chosen []scenario, o *options, report *report) error {
	if len(chosen) > 0 {
		printHead(os.Stdout)
	}
	for _, s := range chosen {
		loads := s.loads
		if o.callers != 0 {
			loads = []int{o.callers}
		}
		for _, load := range loads {
			res := r.run(ctx, s, load, s.roundsFor(o))
			if ctx.Err() != nil {
				return errors.Join(report.save(o.out), errors.New("interrupted; what was finished is in "+o.out))
			}
			res.print(os.Stdout)
			report.Results = append(report.Results, res)
			if err := report.save(o.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// costScenario stands for the measurements without a fault.
const costScenario = "cost"

func (o *options) costs() bool {
	if o.scenario == "" {
		return !o.short
	}
	return slices.Contains(strings.Split(o.scenario, ","), costScenario)
}

func (s *scenario) roundsFor(o *options) int {
	switch {
	case o.rounds > 0:
		return o.rounds
	case o.short:
		return s.short
	default:
		return s.rounds
	}
}

// shortened is what tests have time for: few rounds, few callers, a short lease.
func shortened(all []scenario) []scenario {
	var some []scenario
	for _, s := range all {
		if s.short > 0 {
			s.loads = []int{8}
			s.setup.election = election.Aggressive.Config()
			some = append(some, s)
		}
	}
	return some
}

// choose returns the scenarios that were asked for.
func choose(o *options) ([]scenario, error) {
	all := scenarios()
	if o.short {
		all = shortened(all)
	}
	if o.scenario == "" {
		return all, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(o.scenario, ",") {
		if name == costScenario || name == streamScenario || o.isDurable(name) {
			continue
		}
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("there is no scenario %q, or no short form of it; -list shows them", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
