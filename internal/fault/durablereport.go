//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// runDurables runs those durable scenarios that were asked for.
func (r *runner) runDurables(ctx context.Context, o *options, report *report) error {
	for i, d := range o.durables() {
		if i == 0 {
			printDurableHead(os.Stdout)
		}
		for _, size := range o.knobs.sizes(&d) {
			res := r.runDurable(ctx, d, size)
			if ctx.Err() != nil {
				return errors.Join(report.save(o.out), errors.New("interrupted; what was finished is in "+o.out))
			}
			res.print(os.Stdout)
			report.Durable = append(report.Durable, res)
			if err := report.save(o.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// durableColumns are those of the table.
func durableColumns() []string {
	return []string{
		"scenario", "replicas", "accepted", "done", "dead", "lost", "hung", "doubled", "disordered", "exceeded", "contradicted",
		"again", "most attempts", "killed", "faults", "seconds", "per second", "besides",
	}
}

// cells are a row of the table.
func (r *durableResult) cells() []string {
	row := []any{
		r.Scenario, r.Replicas, r.Accepted, r.Done, r.Dead, r.Lost, r.Hung, r.Doubled, r.Disordered, r.Exceeded, r.Contradicted,
		r.Again, r.MostAttempts, r.Killed, r.Faults, fmt.Sprintf("%.0f", r.Seconds), fmt.Sprintf("%.0f", r.Rate), r.remarks(),
	}
	cells := make([]string, len(row))
	for i, cell := range row {
		cells[i] = fmt.Sprint(cell)
	}
	return cells
}

func printDurableHead(out io.Writer) { printDurableRow(out, durableColumns()) }

// printDurableRow makes each column as wide as its name.
func printDurableRow(out io.Writer, cells []string) {
	for i, name := range durableColumns() {
		width := len(name)
		switch {
		case i == 0:
			fmt.Fprintf(out, "%-15s", cells[i])
		case i == len(cells)-1:
			fmt.Fprintf(out, "  %s\n", cells[i])
		default:
			fmt.Fprintf(out, " %*s", width, cells[i])
		}
	}
}

func (r *durableResult) print(out io.Writer) {
	printDurableRow(out, r.cells())
	for _, f := range r.Findings {
		fmt.Fprintln(out, "    ", f)
	}
	for _, f := range r.Failures {
		fmt.Fprintln(out, "     not finished:", f)
	}
}

// remarks names the counts that have no column, where they are not zero.
func (r *durableResult) remarks() string {
	var remarks []string
	for _, code := range slices.Sorted(maps.Keys(r.Refusals)) {
		remarks = append(remarks, fmt.Sprint(r.Refusals[code], " refused ", code))
	}
	for _, c := range []struct {
		count int
		what  string
	}{{r.Unknown, "unknown"}, {r.Stalls, "stalls"}, {r.Kept, "kept in the queue"}, {r.Replaced, "NATS servers replaced"}} {
		if c.count > 0 {
			remarks = append(remarks, fmt.Sprint(c.count, " ", c.what))
		}
	}
	return strings.Join(remarks, ", ")
}

// bad tells whether the result breaks a promise or was not finished.
func (r *durableResult) bad() bool { return r.Bad() > 0 || len(r.Failures) > 0 }

func printDurableMarkdown(out io.Writer, results []durableResult) {
	if len(results) == 0 {
		return
	}
	fmt.Fprint(out, "\n| ", strings.Join(durableColumns(), " | "), " |\n", strings.Repeat("|---", len(durableColumns())), "|\n")
	for i := range results {
		fmt.Fprint(out, "| ", strings.Join(results[i].cells(), " | "), " |\n")
	}
}
