//go:build linux

package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aegisrpc/aegis/internal/fault/durable"
	"github.com/aegisrpc/aegis/internal/machine"
)

// PrintMarkdown writes the tables of docs/failover.md from saved results.
func PrintMarkdown(out io.Writer, path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // the user chose it
	if err != nil {
		return err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(out, "%s, %s, nats-server %s, nats.go %s, %d CPUs, Linux %s, load average before the run %s.\n\n",
		r.Time.Format("2006-01-02"), r.Go, r.Versions[machine.NATSServer], r.Versions[machine.NATSClient], r.CPUs, r.Kernel, r.Load)
	t := newTable(out, "scenario", "what happens", "callers", "rounds", "median", "p99", "worst", "overlaps", "lost", "doubled", "needless", "accepted")
	for i := range r.Results {
		s := &r.Results[i]
		median, p99, worst := s.Times()
		lost, doubled := s.Losses()
		t.row(s.Scenario, s.What, s.Callers, s.Rounds, median, p99, worst, s.Overlaps, lost, doubled, s.Needless, s.Accepted)
	}
	if len(r.Durable) > 0 {
		t = t.next(durable.Columns()...)
	}
	for i := range r.Durable {
		t.row(toAny(r.Durable[i].Cells())...)
	}
	if len(r.Costs) > 0 {
		t = t.next("what stands", "cost")
	}
	for _, c := range r.Costs {
		t.row(c.What, fmt.Sprintf("%.1f %s", c.Value, c.Unit))
	}
	if len(r.Streams) > 0 {
		t = t.next("streams", "what happens", "whole", "ended with a status", "short", "hung", "left over")
	}
	for i := range r.Streams {
		s := &r.Streams[i]
		t.row(s.Scenario, s.What, s.Whole, s.Statuses(), s.Short, s.Hung, s.Leaked())
	}
	return nil
}

// table is a Markdown table.
type table struct{ out io.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{out}
	t.row(toAny(head)...)
	fmt.Fprint(out, strings.Repeat("|---", len(head)), "|\n")
	return t
}

// next begins another table below.
func (t table) next(head ...string) table {
	fmt.Fprintln(t.out)
	return newTable(t.out, head...)
}

func (t table) row(cells ...any) {
	for _, c := range cells {
		fmt.Fprint(t.out, "| ", c, " ")
	}
	fmt.Fprintln(t.out, "|")
}

func toAny(texts []string) []any {
	all := make([]any, len(texts))
	for i, t := range texts {
		all[i] = t
	}
	return all
}
