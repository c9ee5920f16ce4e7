package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWordsThatAShellWouldChangeAreQuoted(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"dev=anna": "dev=anna", "arn:aws:eks:eu-1:1:cluster/shop": "arn:aws:eks:eu-1:1:cluster/shop", "anna@shop": "anna@shop",
		"": "''", "a b": "'a b'", "$HOME": "'$HOME'", "it's": `'it'\''s'`, "a;b": "'a;b'", "a\nb": "'a\nb'",
	} {
		assert.Equal(t, want, ShellWord(word), word)
	}
}
