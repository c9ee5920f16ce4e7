//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// printMarkdown writes the table of docs/failover.md from saved results.
func printMarkdown(out io.Writer, path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // the user chose it
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(out, "%s, %s, nats-server %s, nats.go %s, %d CPUs, Linux %s, load average before the run %s.\n\n",
		r.Time.Format("2006-01-02"), r.Go, r.Versions["github.com/nats-io/nats-server/v2"], r.Versions["github.com/nats-io/nats.go"],
		r.CPUs, r.Kernel, r.Load)
	fmt.Fprintln(out, "| scenario | what happens | callers | rounds | median | p99 | worst | overlaps | lost | doubled | needless | accepted |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	for i := range r.Results {
		s := &r.Results[i]
		median, p99, worst := s.times()
		lost, doubled := s.losses()
		fmt.Fprintf(out, "| %s | %s | %d | %d | %s | %s | %s | %d | %s | %s | %d | %d |\n",
			s.Scenario, s.What, s.Callers, s.Rounds, median, p99, worst, s.Overlaps, lost, doubled, s.Needless, s.Accepted)
	}
	printDurableMarkdown(out, r.Durable)
	if len(r.Costs) > 0 {
		fmt.Fprint(out, "\n| what stands | cost |\n|---|---|\n")
	}
	for _, c := range r.Costs {
		fmt.Fprintf(out, "| %s | %.1f %s |\n", c.What, c.Value, c.Unit)
	}
	if len(r.Streams) > 0 {
		fmt.Fprint(out, "\n| streams | what happens | whole | ended with a status | short | hung | left over |\n|---|---|---|---|---|---|---|\n")
	}
	for i := range r.Streams {
		s := &r.Streams[i]
		fmt.Fprintf(out, "| %s | %s | %d | %s | %d | %d | %s |\n", s.Scenario, s.What, s.Whole, s.ended(), s.Short, s.Hung, s.leaked())
	}
	return nil
}
