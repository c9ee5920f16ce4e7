//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// runDurables runs those durable scenarios that were asked for.
func (r *runner) runDurables(ctx context.Context, o *options, report *report) error {
	size := longDurable()
	if o.short {
		size = shortDurable()
	}
	for i, d := range o.durables() {
		if i == 0 {
			printDurableHead(os.Stdout)
		}
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
	return nil
}

// durables are those that were asked for.
func (o *options) durables() []durable {
	if o.scenario == "" {
		return durables()
	}
	var asked []durable
	for name := range strings.SplitSeq(o.scenario, ",") {
		for _, d := range durables() {
			if d.name == strings.TrimSpace(name) {
				asked = append(asked, d)
			}
		}
	}
	return asked
}

func isDurable(name string) bool {
	return slices.ContainsFunc(durables(), func(d durable) bool { return d.name == strings.TrimSpace(name) })
}

const durableFormat = "%-10s %9v %9v %6v %6v %8v %11v %9v %13v %7v %9v %8v %9v %8v %8v  %s\n"

func printDurableHead(out io.Writer) {
	fmt.Fprintf(out, durableFormat, "scenario", "accepted", "done", "dead", "lost", "doubled", "disordered", "exceeded", "contradicted",
		"again", "attempts", "killed", "restarts", "seconds", "rate", "")
}

func (r *durableResult) print(out io.Writer) {
	fmt.Fprintf(out, durableFormat, r.Scenario, r.Accepted, r.Done, r.Dead, r.Lost, r.Doubled, r.Disordered, r.Exceeded, r.Contradicted,
		r.Again, r.MostAttempts, r.Killed, r.Restarts, fmt.Sprintf("%.1f", r.Seconds), fmt.Sprintf("%.0f", r.Rate), r.remarks())
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
	if r.Unknown > 0 {
		remarks = append(remarks, fmt.Sprint(r.Unknown, " unknown"))
	}
	if r.Stalls > 0 {
		remarks = append(remarks, fmt.Sprint(r.Stalls, " stalls"))
	}
	if r.Kept > 0 {
		remarks = append(remarks, fmt.Sprint(r.Kept, " kept in the queue"))
	}
	return strings.Join(remarks, ", ")
}

// bad tells whether the result breaks a promise or was not finished.
func (r *durableResult) bad() bool { return r.Bad() > 0 || len(r.Failures) > 0 }

func printDurableMarkdown(out io.Writer, results []durableResult) {
	if len(results) == 0 {
		return
	}
	fmt.Fprint(out, "\n| scenario | accepted | done | dead | lost | doubled | disordered | exceeded | contradicted ",
		"| again | most attempts | killed | NATS restarts | seconds | per second |\n", strings.Repeat("|---", 15), "|\n")
	for i := range results {
		r := &results[i]
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.0f | %.0f |\n",
			r.Scenario, r.Accepted, r.Done, r.Dead, r.Lost, r.Doubled, r.Disordered, r.Exceeded, r.Contradicted,
			r.Again, r.MostAttempts, r.Killed, r.Restarts, r.Seconds, r.Rate)
	}
}
