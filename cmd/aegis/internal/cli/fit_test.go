package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTextFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		width      int
		text, want string
	}{
		{0, "a text of any length", "a text of any length"},
		{10, "short\n", "short\n"},
		{10, "a text that is longer\nand more\n", "a text \nthat is \nlonger\nand more\n"},
		{10, "  indented and long", "  indented\n  and long"},
		{6, "abcdefghij k", "abcdef\nghij k"},
		{12, "├─ one two three\n└─ one two three\n", "├─ one two \n│  three\n└─ one two \n   three\n"},
		{8, "\x1b[31mred text\x1b[0m here", "\x1b[31mred text\x1b[0m\nhere"},
	} {
		got := Fit(c.text, c.width)
		assert.Equal(t, c.want, got)
		for line := range strings.Lines(got) {
			if c.width > 0 {
				assert.LessOrEqual(t, visible(strings.TrimSuffix(line, "\n")), c.width, "%q", line)
			}
		}
	}
}
