// Package consent asks a person before something is changed.
package consent

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// Flags are the flags of a subcommand that changes something.
type Flags struct{ yes, dryRun bool }

// Define adds the flags to a command.
func (f *Flags) Define(c *cobra.Command) {
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do it without asking (default: ask, which needs a terminal)")
	c.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "say what would happen, and change nothing (default false)")
	c.MarkFlagsMutuallyExclusive("yes", "dry-run")
}

// DryRun tells whether nothing is to be changed.
func (f *Flags) DryRun() bool { return f.dryRun }

// Check returns an error if nobody can be asked and nobody has agreed. A command that
// reads much before it asks calls it first.
func (f *Flags) Check(app *cli.App) error {
	if f.yes || f.dryRun || terminal(app.In) {
		return nil
	}
	return cli.Usagef("this changes something, and there is no terminal at which to ask: add --yes to do it, or --dry-run to see what it would do")
}

// Ask says on standard error what is about to happen, such as "Delete 3 commands of
// order.v1.OrderService." and returns whether it may. A person who does not agree ends the
// command with exit code 1.
func (f *Flags) Ask(ctx context.Context, app *cli.App, what string) (bool, error) {
	if err := f.Check(app); err != nil {
		return false, err
	}
	switch {
	case f.dryRun:
		app.Notef("Would do: %s\nNothing was changed.", cli.Clean(what))
		return false, nil
	case f.yes:
		return true, nil
	}
	_, _ = io.WriteString(app.Err, cli.Clean(what)+" Go on? [y/N] ")
	answer, err := readLine(ctx, app.In)
	if err != nil {
		return false, err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		app.Notef("Nothing was changed.")
		return false, cli.Exit(1)
	}
	return true, nil
}

// readLine reads a line, or returns the error of ctx if that ends first. The goroutine that
// reads ends with the process then.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // what cannot be read is no consent
		lines <- line
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// terminal reports whether a person types the input.
func terminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
