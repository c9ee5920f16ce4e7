package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The annotations of global flags that only some commands take, and of commands that do
// not take them.
const (
	forLink   = "aegis_link"   // the command connects to NATS
	forOutput = "aegis_output" // the command has output as JSON beside that for people
)

// belongs marks a global flag as one that only some commands take.
func belongs(f *pflag.FlagSet, name, scope string) {
	_ = f.SetAnnotation(name, scope, nil) // fails only for a flag that is not defined
}

// Offline marks a command that does not connect to NATS: it does not take the flags that
// are about the connection, and they are not in its help.
func Offline(c *cobra.Command) *cobra.Command { return without(c, forLink) }

// OneFormat marks a command whose output has one format: it does not take the flag
// --output, which is not in its help.
func OneFormat(c *cobra.Command) *cobra.Command { return without(c, forOutput) }

func without(c *cobra.Command, scope string) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = make(map[string]string)
	}
	c.Annotations[scope] = "none"
	return c
}

// Takes tells whether a command takes a flag that is defined for all commands.
func Takes(c *cobra.Command, f *pflag.Flag) bool {
	for ; c != nil; c = c.Parent() {
		for scope := range f.Annotations {
			if c.Annotations[scope] != "" {
				return false
			}
		}
	}
	return true
}

// refuse returns an error if the command line has a flag that the command does not take.
func refuse(c *cobra.Command) error {
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if err != nil || Takes(c, f) {
			return
		}
		if _, link := f.Annotations[forLink]; link {
			err = Usagef("%s does not connect to NATS; leave --%s out", c.CommandPath(), f.Name)
		} else {
			err = Usagef("the output of %s has one format; leave --%s out", c.CommandPath(), f.Name)
		}
	})
	return err
}

// frugal has the help of each command leave out the flags that the command does not take.
func frugal(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || !Takes(c, f) })
		help(c, args)
	})
}

// Taken returns the names of the global flags that a command takes, and of those that it
// does not take, in order.
func Taken(c *cobra.Command) (taken, refused []string) {
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if Takes(c, f) {
			taken = append(taken, f.Name)
		} else {
			refused = append(refused, f.Name)
		}
	})
	slices.Sort(taken)
	slices.Sort(refused)
	return taken, refused
}
