package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// A flag says what holds without it: its value is in the help, or the text says so.
func TestEachFlagSaysItsDefault(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			zero := f.DefValue == "" || f.DefValue == "0" || f.DefValue == "0s" || f.DefValue == "[]"
			if f.Name == "help" || !zero || c.Name() == "help" || c.Name() == "completion" {
				return
			}
			said := strings.Contains(f.Usage, "default") || strings.Contains(f.Usage, "required") || strings.Contains(f.Usage, "is needed")
			assert.True(t, said || len(f.Annotations) > 0, "%s --%s: %s", c.CommandPath(), f.Name, f.Usage)
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root.Command(new(cli.App)))
}

// A letter stands for the same flag in all commands.
func TestShorthandsMeanOneFlag(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Shorthand == "" {
				return
			}
			if name, known := names[f.Shorthand]; known {
				assert.Equal(t, name, f.Name, "%s -%s", c.CommandPath(), f.Shorthand)
			}
			names[f.Shorthand] = f.Name
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root.Command(new(cli.App)))
	assert.Equal(t, "dry-run", names["n"])
}
