//go:build linux

package streams

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Result is the outcome of one scenario.
type Result struct {
	Scenario string            `json:"scenario"`
	What     string            `json:"what"`
	Whole    uint64            `json:"whole"`
	Ended    map[string]uint64 `json:"ended"` // with a status, by code
	Short    uint64            `json:"short"` // ended well, and something was missing
	Hung     uint64            `json:"hung"`
	Left     []string          `json:"left,omitempty"`     // what the processes hold afterwards
	Failures []string          `json:"failures,omitempty"` // what else is not as it should be
}

// Broken tells whether the result breaks a promise or was not finished.
func (r *Result) Broken() bool { return r.Short+r.Hung > 0 || len(r.Left)+len(r.Failures) > 0 }

// Statuses counts the streams that have ended with a status, by code.
func (r *Result) Statuses() string {
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(r.Ended)) {
		codes = append(codes, fmt.Sprint(r.Ended[code], " ", code))
	}
	if codes == nil {
		return "0"
	}
	return strings.Join(codes, ", ")
}

// Leaked names what the processes hold afterwards.
func (r *Result) Leaked() string {
	if len(r.Left) == 0 {
		return "nothing"
	}
	return strings.Join(r.Left, ", ")
}

// Print writes a line, and what is wrong below it.
func (r *Result) Print(out io.Writer) {
	fmt.Fprintf(out, "streams: %-8s whole %5d, short %d, hung %d, left over: %s, ended with a status: %s\n",
		r.Scenario, r.Whole, r.Short, r.Hung, r.Leaked(), r.Statuses())
	for _, f := range r.Failures {
		fmt.Fprintln(out, "    ", f)
	}
}
