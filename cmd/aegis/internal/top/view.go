package top

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// View draws the model.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "aegis top"
	return v
}

// lines returns exactly as many lines as the terminal has, none of them wider than it.
func (m *model) lines() []string {
	i := ink{m.style, m.link.old()}
	lines := []string{m.title(), m.verdict()}
	if m.help {
		lines = append(lines, m.helpLines()...)
	} else {
		lines = append(lines, m.body(i, m.height-len(lines)-1)...)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, min(len(lines), m.height-1))], m.footer())
	for n := range lines {
		lines[n] = cut(lines[n], m.width)
	}
	return lines
}

// title says where one looks, and how old the data are.
func (m *model) title() string {
	i := ink{style: m.style}
	text := i.paint(cli.Bold, "aegis top")
	if h := m.link.header; h != nil {
		text += i.paint(cli.Dim, "  "+place(h))
	}
	return sides(text, m.age(), m.width)
}

func place(h *monitorapi.Header) string {
	text := plain(h.NATS.Namespace)
	if h.NATS.Server == "" {
		return text
	}
	text += "  NATS " + plain(h.NATS.Version) + " " + cut(plain(h.NATS.Server), 16)
	if h.NATS.Cluster != "" {
		text += " of " + plain(h.NATS.Cluster)
	}
	if !h.NATS.JetStream {
		text += ", no JetStream"
	}
	return text
}

// age says how old the data are.
func (m *model) age() string {
	i := ink{style: m.style}
	if m.link.header == nil {
		return i.paint(cli.Dim, "waiting")
	}
	text := fmt.Sprintf("%6s old", cli.Span(m.link.aged+m.now().Sub(m.link.heard)))
	if m.link.old() {
		return i.paint(cli.Red, "✕ "+text)
	}
	return i.paint(cli.Green, "●") + i.paint(cli.Dim, " "+text)
}

// verdict says how all is.
func (m *model) verdict() string {
	i := ink{style: m.style}
	h := m.link.header
	switch {
	case lasting(m.link.broken):
		return i.paint(cli.Red, "✕ "+plain(m.link.broken.Error()))
	case m.link.broken != nil:
		return i.paint(cli.Red, fmt.Sprintf("✕ The monitor is not heard since %s: %s; trying again", clock(m.link.since), plain(m.link.broken.Error())))
	case h == nil:
		return i.paint(cli.Dim, "○ Waiting for the monitor")
	}
	shape, colour := levelShape(h.Verdict.Level)
	return i.paint(colour, shape) + " " + i.paint(cli.Bold, plain(h.Verdict.Text))
}

// body draws the page in so many lines at most: its grids have at least half of them.
func (m *model) body(i ink, room int) []string {
	page := m.page()
	lines := page.above(i, m.width, room/2)
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	grids := page.grids()
	room -= len(lines)
	if all := fullHeight(grids); len(grids) > 1 && all <= room {
		for n, g := range grids {
			lines = append(lines, g.view(i, m.width, room, n == m.focus)...)
			lines = append(lines, "")
		}
		return lines
	}
	if len(grids) > 1 && room > 1 {
		lines = append(lines, m.tabs(i, grids))
		room--
	}
	return append(lines, m.grid().view(i, m.width, room, true)...)
}

// fullHeight returns how many lines show all rows of all grids.
func fullHeight(grids []*grid) int {
	all := 0
	for _, g := range grids {
		all += max(1, len(g.shown)) + 3 // a heading, titles, and a line between
	}
	return all
}

// tabs names the grids of a page of which only one has room.
func (m *model) tabs(i ink, grids []*grid) string {
	var names []string
	for n, g := range grids {
		name := fmt.Sprintf("%s %d", g.name, len(g.rows))
		if n == m.focus {
			names = append(names, i.paint(cli.Bold, "["+name+"]"))
		} else {
			names = append(names, i.paint(cli.Dim, " "+name+" "))
		}
	}
	return strings.Join(names, " ") + i.paint(cli.Dim, "  Tab shows the other")
}

// footer is the prompt, or what was wrong with its text, or the most important keys.
func (m *model) footer() string {
	i := ink{style: m.style}
	switch {
	case m.prompt.kind != promptNone:
		return i.paint(cli.Cyan, m.prompt.kind) + m.prompt.text + i.paint(cli.Reverse, "_")
	case m.note != "":
		return i.paint(cli.Yellow, plain(m.note))
	}
	keys := []string{i.paint(cli.Dim, "? help  q quit  / filter  s sort")}
	if m.detail != nil {
		keys = append(keys, i.paint(cli.Dim, "Esc back  Tab other table"))
	} else {
		keys = append(keys, i.paint(cli.Dim, "Enter open"))
		for n, v := range m.views {
			colour := cli.Dim
			if n == m.view {
				colour = cli.Bold
			}
			keys = append(keys, i.paint(colour, strconv.Itoa(n+1)+" "+v.name))
		}
	}
	return strings.Join(keys, "  ")
}

// helpLines lists the keys.
func (m *model) helpLines() []string {
	i := ink{style: m.style}
	lines := []string{""}
	say := func(keys, does string) {
		lines = append(lines, "  "+i.paint(cli.Bold, fit(keys, 24, false))+does)
	}
	var views, sorts []string
	for n, v := range m.views {
		views = append(views, strconv.Itoa(n+1)+" "+v.name)
	}
	for _, c := range m.grid().columns {
		if c.key != "" {
			sorts = append(sorts, c.key+" "+strings.ToLower(c.title))
		}
	}
	say("1 to "+strconv.Itoa(len(views)), strings.Join(views[:3], ", "))
	say("", strings.Join(views[3:], ", "))
	say("Enter, Esc", "open the service of a row, go back")
	say("j k ↓ ↑ PgDn PgUp g G", "go through the rows")
	say("Tab", "the other table of a service")
	say("/", "show the rows that have a text; Esc shows all")
	say("s, r", "sort by the next column, turn the order round")
	for n, some := range slices.Collect(slices.Chunk(sorts, 4)) {
		say(map[bool]string{true: "shift and a letter"}[n == 0], strings.Join(some, ", "))
	}
	say(":", "a view or a service by its name; Tab completes")
	say("?", "this help")
	say("q, Ctrl-C", "quit")
	return lines
}
