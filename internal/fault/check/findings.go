package check

import (
	"fmt"
	"io"
)

// findingsPerKind bounds how many violations of a kind are described: one mistake may
// show thousandfold.
const findingsPerKind = 3

// findings are the violations that a judge describes, for people.
type findings struct {
	// Findings describes the first violations of each kind.
	Findings []string `json:"findings,omitempty"`
}

// foundf counts a violation and describes the first ones.
func (f *findings) foundf(count *int, format string, args ...any) {
	*count++
	if *count <= findingsPerKind {
		f.Findings = append(f.Findings, fmt.Sprintf(format, args...))
	}
}

// PrintFindings writes the findings below a row of a table, and the failures because of
// which a run was not finished.
func (f *findings) PrintFindings(out io.Writer, failures []string) {
	for _, text := range f.Findings {
		fmt.Fprintln(out, "    ", text)
	}
	for _, text := range failures {
		fmt.Fprintln(out, "     not finished:", text)
	}
}
