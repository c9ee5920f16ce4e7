package report

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Canvas is where a report is drawn.
type Canvas struct {
	Width int  // columns, at least 20
	ASCII bool // the terminal shows no other characters
	// Paint colours a text by its meaning; nil leaves it as it is.
	Paint func(Meaning, string) string

	text strings.Builder
}

// Meaning is why a text has a colour.
type Meaning int

// The meanings.
const (
	Title Meaning = iota + 1
	Faint
	Good
	Bad
)

// String returns what was drawn.
func (c *Canvas) String() string { return c.text.String() }

// line writes a line, cut at the width.
func (c *Canvas) line(text string) { c.painted(0, text) }

func (c *Canvas) painted(m Meaning, text string) {
	text = c.plain(text)
	if utf8.RuneCountInString(text) > c.Width {
		text = string([]rune(text)[:c.Width-3]) + "..."
	}
	text = strings.TrimRight(text, " ")
	if m != 0 && c.Paint != nil {
		text = c.Paint(m, text)
	}
	c.text.WriteString(text + "\n")
}

// plain replaces characters that the terminal does not show.
func (c *Canvas) plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	if !c.ASCII {
		return text
	}
	text = strings.ReplaceAll(text, "µ", "u")
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, text)
}

// paragraph writes a text over several lines.
func (c *Canvas) paragraph(m Meaning, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > c.Width:
			c.painted(m, line)
			line = "  " + word
		default:
			line += " " + word
		}
	}
	c.painted(m, line)
}

// levels are the heights of a cell, from an empty one to a full one.
func (c *Canvas) levels() []string {
	if c.ASCII {
		return []string{" ", ".", "#"}
	}
	return []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}
}

// bar returns a bar of so many columns, with a sign of its own for a part of a column.
func (c *Canvas) bar(columns float64) string {
	if c.ASCII {
		n := int(math.Round(columns))
		if n == 0 && columns > 0 {
			return "."
		}
		return strings.Repeat("#", n)
	}
	full := int(columns)
	rest := int((columns - float64(full)) * 8)
	if full == 0 && rest == 0 && columns > 0 {
		rest = 1
	}
	return strings.Repeat("█", full) + []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}[rest]
}

// chart draws values as columns of a height, with the scale before them.
func (c *Canvas) chart(values []float64, height int, label func(float64) string) {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	marks := []string{label(top), label(0)}
	margin := max(utf8.RuneCountInString(marks[0]), utf8.RuneCountInString(marks[1])) + 1
	levels := c.levels()
	steps := float64(len(levels) - 1)
	for row := height - 1; row >= 0; row-- {
		mark := ""
		switch row {
		case height - 1:
			mark = marks[0]
		case 0:
			mark = marks[1]
		}
		var b strings.Builder
		b.WriteString(pad(mark, margin-1) + " ")
		for _, v := range values {
			cell := 0.0
			if top > 0 {
				cell = min(max(v/top*float64(height)-float64(row), 0), 1)
			}
			n := int(math.Round(cell * steps))
			if n == 0 && v > 0 && row == 0 {
				n = 1 // little is not nothing
			}
			b.WriteString(levels[n])
		}
		c.line(b.String())
	}
}

// pad aligns a text at the right.
func pad(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

// Millis returns a time with three digits and its unit.
func Millis(ms float64) string {
	switch {
	case ms == 0:
		return "0 ms"
	case ms < 1:
		return Number(ms*1000) + " µs"
	case ms < 1000:
		return Number(ms) + " ms"
	default:
		return Number(ms/1000) + " s"
	}
}

// Number returns a number with three digits, or with all digits before its point.
func Number(v float64) string {
	switch {
	case v >= 99.95 || v == 0:
		return grouped(int64(math.Round(v)))
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// grouped returns a whole number with a comma at each thousand.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Percent returns a ratio as a percentage.
func Percent(ratio float64) string { return Number(ratio*100) + " %" }

// PerSecond returns a rate.
func PerSecond(rate float64) string { return Number(rate) + "/s" }
