package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/internal/near"
)

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
	exitTerminated  = 143 // 128 + SIGTERM
)

// usageError is the error of a command that was used wrongly.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// Usagef returns an error that says that the command was used wrongly: the exit code is 2.
func Usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitError ends the process with a code of its own and no further message.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Exit returns an error that ends the process with this code and prints nothing, for a
// command that has said all there is to say. The code stands even if a signal has ended the
// command.
func Exit(code int) error { return exitError{code} }

// Own tells whether an error is of Exit or Usagef, and so not about what the command was to
// do.
func Own(err error) bool {
	_, exit := errors.AsType[exitError](err)
	_, usage := errors.AsType[usageError](err)
	return exit || usage
}

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted: " + i.signal.String() }

// Main runs the command that build returns with these arguments, and returns the exit code
// of the process. The first SIGINT or SIGTERM ends the context of the command, the second
// one the process.
func Main(build func(*App) *cobra.Command, args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		cancel(interrupted{s})
	}()
	app := newApp()
	defer app.kube.close()
	root := build(app)
	root.SetArgs(args)
	root.SetIn(app.In)
	root.SetOut(app.Out)
	root.SetErr(app.Err)
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultHelpCmd()
	strict(root)
	frugal(root)
	err := root.ExecuteContext(ctx)
	return app.exitCode(ctx, err)
}

// exitCode prints the error, if there is one to print, and returns the exit code.
func (a *App) exitCode(ctx context.Context, err error) int {
	if own, ok := errors.AsType[exitError](err); ok {
		return own.code
	}
	if stop, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		if stop.signal == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	}
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(a.Err, "aegis: %s\n", Clean(strings.TrimPrefix(err.Error(), "aegis: ")))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// strict has wrong flags, arguments and names of subcommands told as wrong use.
func strict(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Usagef("%s; see %s --help", err, c.CommandPath())
	})
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	if c.HasSubCommands() && c.Run == nil && c.RunE == nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknownCommand(c, args[0])
		}
		check = cobra.ArbitraryArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return wrongArgs(c, len(args))
		}
		return nil
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// wrongArgs returns the error for a command with too few arguments, or too many.
func wrongArgs(c *cobra.Command, n int) error {
	given := "1 argument is given"
	if n != 1 {
		given = fmt.Sprintf("%d arguments are given", n)
	}
	_, takes, _ := strings.Cut(strings.TrimSuffix(c.Use, " [flags]"), " ")
	if takes == "" {
		takes = "no argument"
	}
	return Usagef("%s takes %s, and %s; see %s --help", c.CommandPath(), takes, given, c.CommandPath())
}

func unknownCommand(c *cobra.Command, name string) error {
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	if near := near.Name(name, names); near != "" {
		return Usagef("unknown command %q of %s; did you mean %s?", name, c.CommandPath(), near)
	}
	return Usagef("unknown command %q of %s; see %s --help", name, c.CommandPath(), c.CommandPath())
}
