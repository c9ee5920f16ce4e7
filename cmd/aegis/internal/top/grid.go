package top

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// cell is what stands in one column of a row.
type cell struct {
	text   string
	colour cli.Colour
	order  float64 // of a column of numbers
	// draw, if set, draws a picture of the width of the column in place of the text.
	draw func(width int) string
}

// row is a row of a grid.
type row struct {
	id    string // stays the same while the row moves
	opens string // the service that Enter opens, "" for none
	cells []cell
}

// has tells whether one of the cells has a text, whatever the case of its letters.
func (r *row) has(lower string) bool {
	return slices.ContainsFunc(r.cells, func(c cell) bool { return strings.Contains(strings.ToLower(c.text), lower) })
}

// column is a column of a grid. Its width does not depend on what is in it.
type column struct {
	title string
	width int
	// most is the width to which the column grows if there is room; 0 for width.
	most   int
	right  bool
	number bool   // sorted by cell.order
	key    string // the key that sorts by it, "" if nothing does
	// drop says which columns a narrow terminal does without: those with the greatest first,
	// those with 0 never.
	drop int
}

// The titles of columns that several grids have.
const (
	titleService = "SERVICE"
	titleState   = "STATE"
	titleRate    = "CALLS/S"
	titleErrors  = "ERR %"
	titleMedian  = "P50 MS"
	titleP99     = "P99 MS"
	titleHour    = "LAST HOUR"
)

// unsorted is the column of a grid in the order of its document.
const unsorted = -1

// grid is a table whose rows one can sort, filter and go through.
type grid struct {
	name    string // of the rows: "Services"
	given   string // the order of the document in words
	empty   string // what to say if there is no row
	columns []column

	loaded  bool
	missing string // why rows may be missing, "" if all are there
	rows    []row
	shown   []int // the rows that pass the filter, in the order on the screen
	sort    int
	down    bool
	filter  string

	cursor int    // an index of shown
	at     string // the id of the row at the cursor; "" while it stays at the top
	first  int    // the first row on the screen
}

func newGrid(name, given, empty string, columns ...column) *grid {
	return &grid{name: name, given: given, empty: empty, columns: columns, sort: unsorted}
}

// set replaces the rows. The cursor stays at its row.
func (g *grid) set(rows []row) {
	g.rows, g.loaded = rows, true
	g.arrange()
}

// arrange filters and sorts the rows.
func (g *grid) arrange() {
	lower := strings.ToLower(g.filter)
	g.shown = g.shown[:0]
	for i := range g.rows {
		if lower == "" || g.rows[i].has(lower) {
			g.shown = append(g.shown, i)
		}
	}
	if g.sort != unsorted {
		slices.SortStableFunc(g.shown, func(a, b int) int { return g.compare(&g.rows[a].cells[g.sort], &g.rows[b].cells[g.sort]) })
	}
	g.follow()
}

// compare compares two cells of the sorted column. What is not known is the last.
func (g *grid) compare(a, b *cell) int {
	var order int
	switch {
	case !g.columns[g.sort].number:
		order = cmp.Compare(strings.ToLower(a.text), strings.ToLower(b.text))
	case math.IsNaN(a.order) || math.IsNaN(b.order):
		return cmp.Compare(b.order, a.order) // NaN is the least for cmp
	default:
		order = cmp.Compare(a.order, b.order)
	}
	if g.down {
		return -order
	}
	return order
}

// follow moves the cursor to where its row is now.
func (g *grid) follow() {
	if g.at == "" {
		g.cursor = 0
		return
	}
	if i := slices.IndexFunc(g.shown, func(i int) bool { return g.rows[i].id == g.at }); i >= 0 {
		g.cursor = i
		return
	}
	g.cursor = max(0, min(g.cursor, len(g.shown)-1))
}

// move moves the cursor by so many rows, as far as there are rows.
func (g *grid) move(by int) {
	if len(g.shown) == 0 {
		return
	}
	g.cursor = max(0, min(g.cursor+by, len(g.shown)-1))
	g.at = g.rows[g.shown[g.cursor]].id
	if g.cursor == 0 {
		g.at = ""
	}
}

// selected returns the row at the cursor, nil for none.
func (g *grid) selected() *row {
	if g.cursor >= len(g.shown) {
		return nil
	}
	return &g.rows[g.shown[g.cursor]]
}

// sortBy sorts by a column; by the same column again it turns the order round. Numbers begin
// with the greatest.
func (g *grid) sortBy(column int) {
	if column == g.sort {
		g.turn()
		return
	}
	g.sort = column
	g.down = column != unsorted && g.columns[column].number
	g.arrange()
}

// turn turns the order round.
func (g *grid) turn() {
	if g.sort != unsorted {
		g.down = !g.down
		g.arrange()
	}
}

// sortNext sorts by the next column that can be sorted, and by none after the last.
func (g *grid) sortNext() {
	for next := g.sort + 1; next < len(g.columns); next++ {
		if g.columns[next].key != "" {
			g.sortBy(next)
			return
		}
	}
	g.sortBy(unsorted)
}

// sortKey sorts by the column with a key, and reports whether there is one.
func (g *grid) sortKey(key string) bool {
	i := slices.IndexFunc(g.columns, func(c column) bool { return c.key == key })
	if i < 0 || key == "" {
		return false
	}
	g.sortBy(i)
	return true
}

// sieve shows the rows that have a text.
func (g *grid) sieve(text string) {
	g.filter = text
	g.arrange()
}
