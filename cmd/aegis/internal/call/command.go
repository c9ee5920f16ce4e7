package call

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// progressLine is a report of a command as JSON shows it.
type progressLine struct {
	Time    time.Time `json:"time"`
	Percent float64   `json:"percent"`
	Message string    `json:"message,omitempty"`
}

// Result returns the subcommand result.
func Result(app *cli.App) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use:   "result SERVICE/METHOD ID",
		Short: "Print the result of a command",
		Long: "Prints the result of a command that has succeeded, as JSON. The exit code is 1 if the command has\n" +
			"failed, was canceled, has expired or is not known; and, unless --await is given, if it has not ended.",
		Example: "  aegis result order.v1.OrderService/ReconcileBook 8Nq2S4kD --await",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return withCommand(c.Context(), app, args, func(ctx context.Context, command *aegisreflect.Command) error {
				if wait {
					return await(ctx, app, command, false)
				}
				status, err := statusOf(ctx, app, command)
				if err != nil {
					return err
				}
				if !status.State.Ended() {
					return aegis.Errorf(aegis.CodeFailedPrecondition, "the command has not ended, it is %s (attempt %d); --await waits for it",
						status.State, status.Attempt)
				}
				return await(ctx, app, command, false)
			})
		},
	}
	c.Flags().BoolVar(&wait, "await", false, "wait until the command has ended (default: fail if it has not)")
	return c
}

// Progress returns the subcommand progress.
func Progress(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "progress SERVICE/METHOD ID",
		Short: "Follow the progress of a command until it has ended",
		Long: "Prints each report of the command's handler, from the last one on, and ends when the command has.\n" +
			"With --output json each report is one line of JSON.",
		Example: "  aegis progress order.v1.OrderService/ReconcileBook 8Nq2S4kD",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return withCommand(c.Context(), app, args, func(ctx context.Context, command *aegisreflect.Command) error {
				for p, err := range command.Progress(ctx) {
					if err == nil {
						err = printProgress(app, p)
					}
					if err != nil {
						return err
					}
				}
				status, err := statusOf(ctx, app, command)
				if err != nil {
					return err
				}
				app.Notef("the command is %s", status.State)
				return nil
			})
		},
	}
}

func printProgress(app *cli.App, p *aegis.Progress) error {
	if app.JSON() {
		return app.PrintLine(progressLine{time.Now(), p.Percent, p.Message})
	}
	return app.Printf("%3.0f %%  %s\n", p.Percent, cli.Clean(p.Message))
}

// Cancel returns the subcommand cancel.
func Cancel(app *cli.App) *cobra.Command {
	return cli.OneFormat(&cobra.Command{
		Use:   "cancel SERVICE/METHOD ID",
		Short: "Cancel a command",
		Long: "Cancels a command: one that waits is not begun any more, and the context of a handler that works on\n" +
			"it ends. A command that has ended stays as it is, and the exit code is 1.",
		Example: "  aegis cancel order.v1.OrderService/ReconcileBook 8Nq2S4kD",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return withCommand(c.Context(), app, args, func(ctx context.Context, command *aegisreflect.Command) error {
				status, err := statusOf(ctx, app, command)
				if err != nil {
					return err
				}
				if status.State.Ended() {
					return aegis.Errorf(aegis.CodeFailedPrecondition, "the command has ended before, it is %s", status.State)
				}
				ctx, cancel := context.WithTimeout(ctx, app.Timeout)
				defer cancel()
				if err := command.Cancel(ctx); err != nil {
					return err
				}
				app.Notef("the command is canceled")
				return nil
			})
		},
	})
}

func withCommand(ctx context.Context, app *cli.App, args []string, use func(context.Context, *aegisreflect.Command) error) error {
	return withMethod(ctx, app, args[0], func(ctx context.Context, m *aegisreflect.Method) error {
		return use(ctx, m.Command(args[1]))
	})
}

// statusOf returns the status of a command, and an error if there is no such command.
func statusOf(ctx context.Context, app *cli.App, command *aegisreflect.Command) (*aegis.CommandStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, app.Timeout)
	defer cancel()
	status, err := command.Status(ctx)
	if err == nil && status.State == aegis.CommandUnknown {
		return nil, aegis.Errorf(aegis.CodeNotFound, "%s has no command %s, or its result is not kept any more", command.Method().FullName(), command.ID())
	}
	return status, err
}
