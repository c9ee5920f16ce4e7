package top

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

const (
	// none stands for what is not known or not there.
	none = "–"
	// longestText bounds a text of a document before its width is measured.
	longestText = 1000
)

// plain returns a text that comes from elsewhere as one line that cannot disturb a terminal.
func plain(text string) string {
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "") + "…"
	}
	return strings.ReplaceAll(cli.Clean(text), "\n", " ")
}

// orNone returns a text that comes from elsewhere, or what stands for none.
func orNone(text string) string {
	if text == "" {
		return none
	}
	return plain(text)
}

// cut shortens a text to a width. The text may have colours.
func cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(text, width, "…")
}

// fit makes a text exactly so wide.
func fit(text string, width int, right bool) string {
	text = cut(text, width)
	blanks := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return blanks + text
	}
	return text + blanks
}

// sides puts two texts at the ends of a line; the left one gives way.
func sides(left, right string, width int) string {
	room := width - ansi.StringWidth(right) - 1
	if room < 1 {
		return cut(right, width)
	}
	return fit(left, room, false) + " " + right
}

// ink colours texts. Old data are grey, whatever colour they had.
type ink struct {
	style cli.Style
	old   bool
}

func (i ink) paint(c cli.Colour, text string) string {
	if i.old {
		c = cli.Dim
	}
	return i.style.Paint(c, text)
}
