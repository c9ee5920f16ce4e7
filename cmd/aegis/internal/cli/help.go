package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpCommand returns the subcommand help. A name that is no subcommand is wrong use.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:                   "help [SUBCOMMAND...]",
		Short:                 "Show the help of a subcommand",
		Example:               "  aegis help call\n  aegis help commands list",
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
		PersistentPreRunE:     func(*cobra.Command, []string) error { return nil },
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if c, rest := walk(root, args); len(rest) == 0 {
				for _, sub := range c.Commands() {
					if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begun) {
						names = append(names, sub.Name()+"\t"+sub.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest := walk(root, args)
			if len(rest) > 0 {
				return unknownCommand(c, rest[0])
			}
			c.InitDefaultHelpFlag()
			c.InitDefaultVersionFlag()
			return c.Help()
		},
	}
}

// walk follows the names of subcommands, and returns the last one and the names below it
// that are none.
func walk(c *cobra.Command, names []string) (*cobra.Command, []string) {
	for i, name := range names {
		var next *cobra.Command
		for _, sub := range c.Commands() {
			if sub.Name() == name || sub.HasAlias(name) {
				next = sub
			}
		}
		if next == nil {
			return c, names[i:]
		}
		c = next
	}
	return c, nil
}
