//go:build linux

package calls

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/fault/check"
)

// Result is the outcome of one scenario under one load.
type Result struct {
	check.Verdict

	Scenario string `json:"scenario"`
	What     string `json:"what"`
	Callers  int    `json:"callers"`
	Rounds   int    `json:"rounds"`

	Median float64 `json:"median_ms"`
	P99    float64 `json:"p99_ms"`
	Worst  float64 `json:"worst_ms"`

	// Needless are NOT_ACTIVE and LEADERSHIP_LOST that callers got in calls that
	// met no fault.
	Needless int `json:"needless_not_active"`
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Unknown  int `json:"unknown"`
	// StoreLost means that the scenario takes the store away, so that writes
	// cannot be judged.
	StoreLost bool `json:"store_lost,omitempty"`
	// Failures are rounds that could not be finished.
	Failures []string `json:"failures,omitempty"`

	Millis []float64 `json:"failovers_ms"`
}

const rowFormat = "%-10s %7v %6v %8v %8v %8v %8v %5v %7v %8v %9v %8v  %s\n"

// PrintHead prints the head of the table on the terminal.
func PrintHead(out io.Writer) {
	fmt.Fprintf(out, rowFormat, "scenario", "callers", "rounds", "median", "p99", "worst", "overlaps", "lost", "doubled", "needless", "accepted", "unknown", "")
}

// Print writes a row of the table, and what is wrong below it.
func (r *Result) Print(out io.Writer) {
	median, p99, worst := r.Times()
	lost, doubled := r.Losses()
	fmt.Fprintf(out, rowFormat, r.Scenario, r.Callers, r.Rounds, median, p99, worst, r.Overlaps, lost, doubled, r.Needless, r.Accepted, r.Unknown, r.remarks())
	r.PrintFindings(out, r.Failures)
}

// Times returns times in milliseconds, "-" if no round was measured.
func (r *Result) Times() (median, p99, worst string) {
	if len(r.Millis) == 0 {
		return "-", "-", "-"
	}
	return fmt.Sprintf("%.0f", r.Median), fmt.Sprintf("%.0f", r.P99), fmt.Sprintf("%.0f", r.Worst)
}

// Losses returns the counts of lost and doubled calls, "-" if the scenario took the
// store away.
func (r *Result) Losses() (lost, doubled string) {
	if r.StoreLost {
		return "-", "-"
	}
	return strconv.Itoa(r.Lost), strconv.Itoa(r.Doubled)
}

// remarks names the counts that have no column, where they are not zero.
func (r *Result) remarks() string {
	var remarks []string
	for _, c := range []struct {
		name  string
		count int
	}{
		{"tokens", r.Tokens},
		{"unfenced", r.Unfenced},
		{"contradicted", r.Contradicted},
		{"nonlinear", r.Nonlinear},
		{"undecided", r.Undecided},
		{"stragglers", r.Stragglers},
	} {
		if c.count > 0 {
			remarks = append(remarks, fmt.Sprint(c.count, " ", c.name))
		}
	}
	return strings.Join(remarks, ", ")
}

// Broken tells whether the result breaks a promise or was not finished.
func (r *Result) Broken() bool { return r.Bad() > 0 || r.Undecided > 0 || len(r.Failures) > 0 }
