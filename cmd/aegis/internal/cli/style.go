package cli

import (
	"strconv"
	"strings"
	"unicode"
)

// Colour is the colour of a text, as terminals number them.
type Colour int

// The colours and faces.
const (
	Plain   Colour = 0
	Bold    Colour = 1
	Dim     Colour = 2
	Reverse Colour = 7
	Red     Colour = 31
	Green   Colour = 32
	Yellow  Colour = 33
	Blue    Colour = 34
	Cyan    Colour = 36
)

// Styled is a text with a colour, as a cell of a table.
type Styled struct {
	Text   string
	Colour Colour
}

// Style colours text, or leaves it as it is if nobody at a terminal reads it.
type Style struct{ On bool }

// Paint returns the text in a colour.
func (s Style) Paint(c Colour, text string) string {
	if !s.On || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + strconv.Itoa(int(c)) + "m" + text + "\x1b[0m"
}

// Clean returns a text that comes from elsewhere without the characters that would control
// a terminal or turn the direction of the text; each is shown as Go quotes it. Line ends
// stay.
func Clean(text string) string {
	if !strings.ContainsFunc(text, controls) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if controls(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func controls(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar)
}
