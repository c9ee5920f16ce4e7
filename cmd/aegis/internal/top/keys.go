package top

import (
	"strconv"

	tea "charm.land/bubbletea/v2"
)

// press does what a key means.
func (m *model) press(key tea.KeyPressMsg) tea.Cmd {
	if key.String() == "ctrl+c" {
		m.interrupted = true
		return tea.Quit
	}
	m.note = ""
	if m.prompt.kind != promptNone {
		return m.typing(key)
	}
	switch key.String() {
	case "q":
		return tea.Quit
	case "?":
		m.help = !m.help
	case "esc":
		return m.back()
	case "ctrl+z":
		return tea.Suspend
	case promptFilter:
		m.prompt = prompt{promptFilter, m.grid().filter}
	case promptCommand:
		m.prompt = prompt{kind: promptCommand}
	case "enter":
		return m.openRow()
	case "tab":
		m.focus = (m.focus + 1) % len(m.page().grids())
	case "shift+tab":
		m.focus = (m.focus + len(m.page().grids()) - 1) % len(m.page().grids())
	default:
		return m.pressRow(key)
	}
	return nil
}

// pressRow does what a key means for the rows of the grid, or opens a view.
func (m *model) pressRow(key tea.KeyPressMsg) tea.Cmd {
	g, leaf := m.grid(), max(1, m.height-8)
	switch key.String() {
	case "j", "down":
		g.move(1)
	case "k", "up":
		g.move(-1)
	case "pgdown", "ctrl+f", "space":
		g.move(leaf)
	case "pgup", "ctrl+b":
		g.move(-leaf)
	case "g", "home":
		g.move(-len(g.shown))
	case "G", "end":
		g.move(len(g.shown))
	case "s":
		g.sortNext()
	case "r":
		g.turn()
	default:
		if n, err := strconv.Atoi(key.Text); err == nil && n >= 1 && n <= len(m.views) {
			return m.show(n - 1)
		}
		g.sortKey(key.Text)
	}
	return nil
}

// back closes the help, or shows all rows again, or goes back from a service.
func (m *model) back() tea.Cmd {
	switch {
	case m.help:
		m.help = false
	case m.grid().filter != "":
		m.grid().sieve("")
	case m.detail != nil:
		m.detail, m.focus = nil, 0
	}
	return m.follow()
}

// show opens a view.
func (m *model) show(view int) tea.Cmd {
	m.view, m.detail, m.focus, m.help = view, nil, 0, false
	return m.follow()
}

// openRow opens the service of the row at the cursor.
func (m *model) openRow() tea.Cmd {
	if r := m.grid().selected(); r != nil && r.opens != "" && m.detail == nil {
		return m.enter(r.opens)
	}
	return nil
}

// enter opens the details of a service.
func (m *model) enter(service string) tea.Cmd {
	m.detail, m.focus, m.help = newDetail(service), 0, false
	return m.follow()
}
