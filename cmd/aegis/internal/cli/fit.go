package cli

import (
	"strings"
	"unicode/utf8"
)

// Fit breaks the lines of a text so that none is wider than the terminal: between words
// where it can. The rest of a line stands below the beginning of its text, with the
// branches of a tree drawn on. Without a terminal, of width 0, the text stays as it is.
func Fit(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		content, end, _ := strings.Cut(line, "\n")
		if visible(content) <= width {
			b.WriteString(line)
			continue
		}
		fitLine(&b, content, width)
		if end != "" || strings.HasSuffix(line, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Fit is Fit for the terminal that the output is.
func (a *App) Fit(text string) string { return Fit(text, a.width) }

// fitLine breaks one line.
func fitLine(b *strings.Builder, line string, width int) {
	lead, text := leadOf(line)
	b.WriteString(lead)
	hanging := strings.NewReplacer("├─", "│ ", "└─", "  ").Replace(lead)
	if utf8.RuneCountInString(hanging) > width/2 {
		hanging = strings.Repeat(" ", width/2)
	}
	column, begin := utf8.RuneCountInString(lead), utf8.RuneCountInString(hanging)
	wrap := func() {
		b.WriteString("\n" + hanging)
		column = begin
	}
	for word := range strings.SplitAfterSeq(text, " ") {
		bare := strings.TrimSuffix(word, " ")
		if column > begin && column+visible(bare) > width {
			wrap()
		}
		for len(word) > 0 {
			piece, shown := next(word)
			word = word[len(piece):]
			if shown && column == width {
				if piece == " " {
					continue // a line ends here anyway
				}
				wrap()
			}
			b.WriteString(piece)
			if shown {
				column++
			}
		}
	}
}

// leadOf splits a line into the blanks and branches at its beginning, and its text.
func leadOf(line string) (lead, text string) {
	text = strings.TrimLeft(line, " │├└─")
	return line[:len(line)-len(text)], text
}

// visible returns how many characters of a text a terminal shows.
func visible(text string) int {
	n := 0
	for len(text) > 0 {
		piece, shown := next(text)
		if shown {
			n++
		}
		text = text[len(piece):]
	}
	return n
}

// next returns the first character of a text, or the escape sequence of a colour that
// stands there, which is not shown.
func next(text string) (piece string, shown bool) {
	if strings.HasPrefix(text, "\x1b[") {
		if end := strings.IndexByte(text, 'm'); end > 0 {
			return text[:end+1], false
		}
	}
	_, size := utf8.DecodeRuneInString(text)
	return text[:size], true
}
