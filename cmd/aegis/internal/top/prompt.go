package top

import (
	"slices"
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/aegisrpc/aegis/internal/near"
)

// The kinds of a prompt, by the keys that open them.
const (
	promptNone    = ""
	promptFilter  = "/"
	promptCommand = ":"
)

// longestInput bounds what one can type.
const longestInput = 200

// prompt is the line at the bottom in which one types.
type prompt struct {
	kind, text string
}

// insert appends to the text.
func (p *prompt) insert(text string) {
	if p.kind != promptNone && len(p.text)+len(text) <= longestInput {
		p.text += plain(text)
	}
}

// back takes the last character away, and closes an empty prompt.
func (p *prompt) back() {
	if p.text == "" {
		*p = prompt{}
		return
	}
	_, size := utf8.DecodeLastRuneInString(p.text)
	p.text = p.text[:len(p.text)-size]
}

// typing takes a key while the prompt is open.
func (m *model) typing(key tea.KeyPressMsg) tea.Cmd {
	switch key.String() {
	case "esc":
		m.prompt.text = ""
		m.typed()
		m.prompt = prompt{}
		return nil
	case "enter":
		p := m.prompt
		m.prompt = prompt{}
		if p.kind == promptCommand {
			return m.command(strings.TrimSpace(p.text))
		}
		return nil
	case "backspace", "ctrl+h":
		m.prompt.back()
	case "ctrl+u":
		m.prompt.text = ""
	case "tab":
		m.complete()
	default:
		m.prompt.insert(key.Text)
	}
	m.typed()
	return nil
}

// typed has the grid show what has the text of a filter.
func (m *model) typed() {
	if m.prompt.kind == promptFilter {
		m.grid().sieve(m.prompt.text)
	}
}

// names returns what can be typed as a command: the views, and the services.
func (m *model) names() []string {
	names := []string{"quit", "help"}
	for _, v := range m.views {
		names = append(names, v.name)
	}
	if o, ok := m.views[0].page.(*overview); ok && o.doc != nil {
		for i := range o.doc.Services {
			names = append(names, o.doc.Services[i].Name)
		}
	}
	return names
}

// complete completes a command as far as only one name has what is typed.
func (m *model) complete() {
	if m.prompt.kind != promptCommand || m.prompt.text == "" {
		return
	}
	var found []string
	for _, name := range m.names() {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(m.prompt.text)) {
			found = append(found, name)
		}
	}
	if len(found) > 0 {
		m.prompt.text = plain(common(found))
	}
}

// common returns what all names begin with.
func common(names []string) string {
	first, last := slices.Min(names), slices.Max(names)
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	return first[:n]
}

// command does what was typed: a view, or a service, by its name or the beginning of it.
func (m *model) command(text string) tea.Cmd {
	switch strings.ToLower(text) {
	case "":
		return nil
	case "q", "q!", "quit", "exit":
		return tea.Quit
	case "h", "help":
		m.help = true
		return nil
	}
	for i, v := range m.views {
		if strings.HasPrefix(v.name, strings.ToLower(text)) {
			return m.show(i)
		}
	}
	names := m.names()[2+len(m.views):]
	if slices.Contains(names, text) {
		return m.enter(text)
	}
	m.note = "no view and no service is called " + text
	if like := near.Name(text, m.names()); like != "" {
		m.note += "; did you mean " + plain(like) + "?"
	}
	return nil
}
