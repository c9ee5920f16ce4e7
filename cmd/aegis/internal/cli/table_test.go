package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func render(t *testing.T, width int, fill func(*Table)) string {
	t.Helper()
	table := &Table{width: width}
	fill(table)
	var b strings.Builder
	require.NoError(t, table.write(&b))
	return b.String()
}

func TestATableFitsTheTerminal(t *testing.T) {
	t.Parallel()
	fill := func(t *Table) {
		t.Header("SERVICE", "INSTANCES", "STATE")
		t.Row("a.very.long.package.name.v1.SomeServiceWithALongName", 3, "running")
		t.Row("b.v1.B", 12, "")
	}
	assert.Contains(t, render(t, 0, fill), "SomeServiceWithALongName  3          running\n")
	for width := 30; width < 90; width++ {
		for line := range strings.Lines(render(t, width, fill)) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width, "%q", line)
		}
	}
	assert.Equal(t, "SERVICE: a\nNEXT: b\n", render(t, 12, func(t *Table) {
		t.Header("SERVICE", "NEXT")
		t.Row("a", "b")
	}), "no room for columns")
}

func TestForeignTextCannotControlTheTerminal(t *testing.T) {
	t.Parallel()
	out := render(t, 0, func(t *Table) { t.Row("a\x1b[31mb\u202ec\td\ne") })
	assert.Equal(t, `a\x1b[31mb\u202ec\td e`+"\n", out)
}
