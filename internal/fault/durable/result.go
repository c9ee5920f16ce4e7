//go:build linux

package durable

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/fault/check"
)

// Result is the outcome of one run of a scenario.
type Result struct {
	check.DurableVerdict

	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Replicas int     `json:"replicas"`
	Killed   int     `json:"killed"`
	Faults   int     `json:"faults"` // of NATS
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"per_second"`
	// Replaced are NATS servers that never caught up and came back without data.
	Replaced int `json:"replaced,omitempty"`
	// Kept are commands that the queue holds when its consumers have none left.
	Kept int `json:"kept,omitempty"`
	// Refusals are the sends that were refused, by code.
	Refusals map[string]int `json:"refusals,omitempty"`
	// Failures is why it could not be finished.
	Failures []string `json:"failures,omitempty"`
}

// Columns returns the head of the table.
func Columns() []string {
	return []string{
		"scenario", "replicas", "accepted", "done", "dead", "lost", "hung", "doubled", "disordered", "exceeded", "contradicted",
		"again", "most attempts", "killed", "faults", "seconds", "per second", "besides",
	}
}

// Cells returns the result's row of the table.
func (r *Result) Cells() []string {
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

// PrintHead prints the head of the table on the terminal.
func PrintHead(out io.Writer) { printRow(out, Columns()) }

// printRow makes each column as wide as its name.
func printRow(out io.Writer, cells []string) {
	for i, name := range Columns() {
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

// Print writes a row of the table, and what is wrong below it.
func (r *Result) Print(out io.Writer) {
	printRow(out, r.Cells())
	r.PrintFindings(out, r.Failures)
}

// remarks names the counts that have no column, where they are not zero.
func (r *Result) remarks() string {
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

// Broken tells whether the result breaks a promise or was not finished.
func (r *Result) Broken() bool { return r.Bad() > 0 || len(r.Failures) > 0 }
