package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/root"
)

func TestTheReferenceIsFresh(t *testing.T) {
	t.Parallel()
	const module = "../../../.."
	kept, err := os.ReadFile(filepath.Join(module, "docs/cli.md"))
	require.NoError(t, err)
	assert.Equal(t, string(kept), reference(), "run make generate")
	kept, err = os.ReadFile(filepath.Join(module, "llms.txt"))
	require.NoError(t, err)
	text, err := index(module)
	require.NoError(t, err)
	assert.Equal(t, string(kept), text, "run make generate")
}

func TestEachCommandHasHelpThatHelps(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			assert.NotEmpty(t, sub.Short, sub.CommandPath())
			assert.False(t, strings.HasSuffix(sub.Short, "."), "%s: %s", sub.CommandPath(), sub.Short)
			if sub.Runnable() {
				assert.NotEmpty(t, sub.Example, "%s has no example", sub.CommandPath())
			}
			visit(sub)
		}
	}
	visit(root.Command(new(cli.App)))
}
