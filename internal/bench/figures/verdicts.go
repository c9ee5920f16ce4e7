package figures

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Target is a limit that a figure has to reach.
type Target struct {
	limit   float64
	atLeast bool // or else at most
}

// AtLeast is a target that larger figures reach.
func AtLeast(limit float64) Target { return Target{limit, true} }

// AtMost is a target that smaller figures reach.
func AtMost(limit float64) Target { return Target{limit, false} }

func (t Target) met(value float64) bool {
	return t.atLeast && value >= t.limit || !t.atLeast && value <= t.limit
}

func (t Target) String() string {
	if t.atLeast {
		return fmt.Sprintf("at least %g", t.limit)
	}
	return fmt.Sprintf("at most %g", t.limit)
}

// Verdicts is a table of figures beside their targets.
type Verdicts struct {
	w      *tabwriter.Writer
	missed int
}

// NewVerdicts begins a table with a head for its first column.
func NewVerdicts(out io.Writer, head string) *Verdicts {
	v := &Verdicts{w: NewTable(out)}
	Row(v.w, head, "measured", "target", "")
	Row(v.w, "---", "---:", "---:", "---")
	return v
}

// Judge prints a figure; shown is how it reads.
func (v *Verdicts) Judge(what string, value float64, shown string, t Target) {
	verdict := "ok"
	if !t.met(value) {
		verdict = "MISSED"
		v.missed++
	}
	Row(v.w, what, shown, t.String(), verdict)
}

// Done ends the table and returns how many targets were missed.
func (v *Verdicts) Done() int {
	_ = v.w.Flush()
	return v.missed
}

// NewTable makes tables that are Markdown as well.
func NewTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 1, ' ', 0) }

// Row writes a row of a table of NewTable.
func Row(w io.Writer, cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(w, "| %s\t", c)
	}
	fmt.Fprintln(w, "|")
}
