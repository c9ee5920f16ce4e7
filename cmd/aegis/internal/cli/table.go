package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// gap is between two columns.
	gap = "  "
	// narrowest is the width below which no column is cut.
	narrowest = 8
)

// Table is rows of cells under a header. On a terminal it fits the width: long cells are
// cut, and where even that does not fit, each row becomes a list of its cells. A table
// without a header is a list of facts, of which none is cut: its lines are broken. Where
// nobody at a terminal reads it, nothing is cut.
type Table struct {
	style  Style
	width  int // 0: no terminal
	header []string
	rows   [][]Styled
}

// Header sets the names of the columns.
func (t *Table) Header(names ...string) { t.header = names }

// Row adds a row. A cell is a Styled, or any value, which is printed as fmt.Sprint does.
func (t *Table) Row(cells ...any) {
	row := make([]Styled, len(cells))
	for i, c := range cells {
		if s, ok := c.(Styled); ok {
			row[i] = s
		} else {
			row[i].Text = fmt.Sprint(c)
		}
		row[i].Text = strings.ReplaceAll(Clean(row[i].Text), "\n", " ")
		if row[i].Text == "" {
			row[i].Text = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// write writes the table.
func (t *Table) write(w io.Writer) error {
	widths := t.measure()
	var b strings.Builder
	switch {
	case len(t.rows) == 0 && len(t.header) == 0:
	case len(t.header) == 0:
		t.facts(&b, widths)
	case t.fit(widths):
		t.lines(&b, widths)
	default:
		t.lists(&b)
	}
	_, err := io.WriteString(w, Fit(b.String(), t.width))
	return err
}

// measure returns the width that each column would like to have.
func (t *Table) measure() []int {
	var widths []int
	for _, h := range t.header {
		widths = append(widths, utf8.RuneCountInString(h))
	}
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.Text))
		}
	}
	return widths
}

// fit makes the widest columns narrower until the table fits the terminal. It returns
// false if it does not fit even so.
func (t *Table) fit(widths []int) bool {
	if t.width == 0 {
		return true
	}
	total := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for total > t.width {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= narrowest {
			return false
		}
		widths[widest]--
		total--
	}
	return true
}

func (t *Table) lines(b *strings.Builder, widths []int) {
	if len(t.header) > 0 {
		head := make([]Styled, len(t.header))
		for i, h := range t.header {
			head[i] = Styled{h, Bold}
		}
		t.line(b, head, widths)
	}
	for _, row := range t.rows {
		t.line(b, row, widths)
	}
}

func (t *Table) line(b *strings.Builder, row []Styled, widths []int) {
	for i, c := range row {
		text := cut(c.Text, widths[i])
		b.WriteString(t.style.Paint(c.Colour, text))
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)))
			b.WriteString(gap)
		}
	}
	b.WriteByte('\n')
}

// facts writes rows without a header; the last cells are broken so that their lines stand
// below each other.
func (t *Table) facts(b *strings.Builder, widths []int) {
	last := len(widths) - 1
	column := 0
	for _, w := range widths[:last] {
		column += w + len(gap)
	}
	narrow := t.width > 0 && t.width-column < 2*narrowest
	for _, row := range t.rows {
		if t.width > 0 && !narrow && len(row) == len(widths) {
			text := Fit(row[last].Text, t.width-column)
			row[last].Text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", column))
		}
		full := append(append([]int{}, widths[:last]...), utf8.RuneCountInString(row[len(row)-1].Text))
		t.line(b, row, full)
	}
}

// lists writes each row as a list of its cells, with an empty line between rows.
func (t *Table) lists(b *strings.Builder) {
	for n, row := range t.rows {
		if n > 0 {
			b.WriteByte('\n')
		}
		for i, c := range row {
			if i < len(t.header) {
				b.WriteString(t.style.Paint(Bold, t.header[i]) + ": ")
			}
			b.WriteString(t.style.Paint(c.Colour, c.Text) + "\n")
		}
	}
}

// cut shortens a text to a width.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:width-1]) + "…"
}
