package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// target is what a figure has to reach.
type target struct {
	limit   float64
	atLeast bool // or else at most
}

func atLeast(limit float64) target { return target{limit, true} }
func atMost(limit float64) target  { return target{limit, false} }

func (t target) met(value float64) bool {
	return t.atLeast && value >= t.limit || !t.atLeast && value <= t.limit
}

func (t target) String() string {
	if t.atLeast {
		return fmt.Sprintf("at least %g", t.limit)
	}
	return fmt.Sprintf("at most %g", t.limit)
}

// verdicts is a table of figures beside their targets.
type verdicts struct {
	w      *tabwriter.Writer
	missed int
}

func newVerdicts(out io.Writer, head string) *verdicts {
	v := &verdicts{w: newTable(out)}
	row(v.w, head, "measured", "target", "")
	row(v.w, "---", "---:", "---:", "---")
	return v
}

// judge prints a figure; shown is how it reads.
func (v *verdicts) judge(what string, value float64, shown string, t target) {
	verdict := "ok"
	if !t.met(value) {
		verdict = "MISSED"
		v.missed++
	}
	row(v.w, what, shown, t.String(), verdict)
}

func (v *verdicts) done() int {
	_ = v.w.Flush()
	return v.missed
}

// newTable makes tables that are Markdown as well.
func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 1, ' ', 0) }

func row(w io.Writer, cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(w, "| %s\t", c)
	}
	fmt.Fprintln(w, "|")
}
