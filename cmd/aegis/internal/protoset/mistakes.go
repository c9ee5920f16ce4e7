package protoset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/source/length"
)

// Mistake is one mistake in a .proto file.
type Mistake struct {
	Path         string // as Source.Display
	Line, Column int    // from 1 on
	Text         string
}

// String returns the mistake in the format of a compiler's error.
func (m Mistake) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.Path, m.Line, m.Column, m.Text)
}

// MistakesError has all mistakes that the compiler has found, in the order of their
// positions.
type MistakesError struct {
	Mistakes []Mistake
}

// Error returns a line for each mistake.
func (e *MistakesError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// mistakesOf returns the errors of a report; nil if there are none. Errors without a
// position accompany a failure of the compiler as a whole, which is reported by itself.
func mistakesOf(found *report.Report) error {
	if found == nil {
		return nil
	}
	all := &MistakesError{}
	for i := range found.Diagnostics {
		diagnostic := &found.Diagnostics[i]
		primary := diagnostic.Primary()
		if diagnostic.Level() > report.Error || primary.IsZero() {
			continue
		}
		start := primary.Location(primary.Start, length.Bytes)
		all.Mistakes = append(all.Mistakes, Mistake{
			Path: primary.Path(), Line: start.Line, Column: start.Column, Text: textOf(diagnostic.Message(), primary.Text()),
		})
	}
	if len(all.Mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(all.Mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Text, b.Text))
	})
	all.Mistakes = onlyFirst(slices.Compact(all.Mistakes), "detected cyclic import")
	return all
}

// textOf returns the message of a mistake. That of an import does not say which file is missing,
// and its place is the statement.
func textOf(message, statement string) string {
	if message != "imported file does not exist" {
		return message
	}
	_, rest, _ := strings.Cut(statement, `"`)
	file, _, found := strings.Cut(rest, `"`)
	if !found {
		return message
	}
	return fmt.Sprintf("the imported file %s does not exist in the modules of the workspace", file)
}

// onlyFirst leaves out all mistakes but the first whose text begins so. The compiler, which
// works on several files at once, tells of a cycle of imports at any of them, and sometimes
// at more than one.
func onlyFirst(all []Mistake, prefix string) []Mistake {
	told := false
	return slices.DeleteFunc(all, func(m Mistake) bool {
		again := told && strings.HasPrefix(m.Text, prefix)
		told = told || strings.HasPrefix(m.Text, prefix)
		return again
	})
}
