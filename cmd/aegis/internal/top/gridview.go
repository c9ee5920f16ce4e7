package top

import (
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

const (
	// between is between two columns, and marker at the row of the cursor.
	between = "  "
	marker  = "▸ "
)

// widths returns the width of each column in a terminal; 0 for those that it does without.
func (g *grid) widths(width int) []int {
	widths := make([]int, len(g.columns))
	for i, c := range g.columns {
		widths[i] = c.width
	}
	for g.needs(widths) > width {
		least := -1
		for i, c := range g.columns {
			if widths[i] > 0 && c.drop > 0 && (least < 0 || c.drop > g.columns[least].drop) {
				least = i
			}
		}
		if least < 0 {
			return widths
		}
		widths[least] = 0
	}
	for i, c := range g.columns {
		if widths[i] > 0 && c.most > c.width {
			widths[i] += max(0, min(c.most-c.width, width-g.needs(widths)))
		}
	}
	return widths
}

// needs returns the width of a line.
func (g *grid) needs(widths []int) int {
	total := len([]rune(marker)) - len(between)
	for _, w := range widths {
		if w > 0 {
			total += w + len(between)
		}
	}
	return total
}

// heading is the line above the columns: how many rows there are, and how they are sorted.
func (g *grid) heading(i ink, active bool) string {
	n := grouped(float64(len(g.rows)))
	if len(g.shown) != len(g.rows) {
		n = fmt.Sprintf("%d of %s", len(g.shown), n)
	}
	if !g.loaded {
		n = "…"
	}
	colour := cli.Dim
	if active {
		colour = cli.Bold
	}
	text := i.paint(colour, g.name+" "+n) + " " + i.paint(cli.Dim, g.sorted())
	if g.filter != "" {
		text += "  " + i.paint(cli.Cyan, "/"+plain(g.filter))
	}
	return text
}

// sorted says how the rows are sorted.
func (g *grid) sorted() string {
	if g.sort == unsorted {
		return g.given
	}
	return "by " + strings.ToLower(g.columns[g.sort].title) + " " + g.arrow()
}

func (g *grid) arrow() string {
	if g.down {
		return "↓"
	}
	return "↑"
}

// view draws the grid with so many lines at most. It also scrolls: only here it is known how
// many rows there is room for.
func (g *grid) view(i ink, width, height int, active bool) []string {
	lines := []string{g.heading(i, active)}
	if len(g.shown) == 0 {
		return append(lines, i.paint(cli.Dim, "  "+g.nothing()))[:min(2, max(height, 0))]
	}
	widths := g.widths(width)
	lines = append(lines, i.paint(cli.Dim, g.titles(widths)))
	room := max(1, height-len(lines))
	g.first = max(0, min(g.first, len(g.shown)-room))
	g.first = min(g.first, g.cursor)
	if g.cursor >= g.first+room {
		g.first = g.cursor - room + 1
	}
	for n := g.first; n < min(g.first+room, len(g.shown)); n++ {
		lines = append(lines, g.line(i, widths, &g.rows[g.shown[n]], active && n == g.cursor))
	}
	return lines[:min(len(lines), max(height, 0))]
}

// nothing says why there is no row.
func (g *grid) nothing() string {
	switch {
	case !g.loaded:
		return "waiting for the monitor"
	case g.missing != "" && len(g.rows) == 0:
		return g.missing
	case len(g.rows) > 0:
		return "nothing has " + plain(g.filter) + "; Esc shows all"
	default:
		return g.empty
	}
}

func (g *grid) titles(widths []int) string {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", len([]rune(marker))))
	for i, c := range g.columns {
		if widths[i] == 0 {
			continue
		}
		title := c.title
		if i == g.sort {
			title += g.arrow()
		}
		b.WriteString(fit(title, widths[i], c.right) + between)
	}
	return strings.TrimRight(b.String(), " ")
}

func (g *grid) line(i ink, widths []int, r *row, chosen bool) string {
	var b strings.Builder
	lead := map[bool]string{true: marker, false: "  "}[chosen]
	for n, c := range g.columns {
		if widths[n] == 0 {
			continue
		}
		text := fit(r.cells[n].shown(widths[n]), widths[n], c.right)
		if !chosen { // a row in reverse has no further colours
			text = i.paint(r.cells[n].colour, text)
		}
		b.WriteString(lead + text)
		lead = between
	}
	if chosen {
		return i.paint(cli.Reverse, b.String())
	}
	return b.String()
}

// shown returns what stands in a column of a width.
func (c *cell) shown(width int) string {
	if c.draw != nil {
		return c.draw(width)
	}
	return c.text
}
