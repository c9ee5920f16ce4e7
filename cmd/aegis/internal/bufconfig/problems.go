// Package bufconfig reads buf.yaml, buf.work.yaml and buf.gen.yaml. Keys that the command
// aegis does not act on are refused with their line, all of them at once: a key that is
// read and then ignored would give other code than buf gives.
package bufconfig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is a mistake in a file, or something in it that is not supported.
type Problem struct {
	File         string
	Line, Column int // from 1 on; 0 when the problem is about the whole file
	Text         string
}

// String returns the problem in the format of a compiler's error.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// ProblemsError has all problems of one file, in the order of their lines.
type ProblemsError struct {
	Problems []Problem
}

// Error returns a line for each problem.
func (e *ProblemsError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err returns the problems as an error, nil if there are none.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &ProblemsError{Problems: d.problems}
}
