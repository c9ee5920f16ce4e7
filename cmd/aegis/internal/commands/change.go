package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// change is a subcommand that does the same to one command or to many.
type change struct {
	stored.Change

	do     func(*aegisadmin.Admin, context.Context, *aegisadmin.Command) error
	filter filterFlags
}

func newChange(app *cli.App, verb, done string, do func(*aegisadmin.Admin, context.Context, *aegisadmin.Command) error) *change {
	return &change{
		Change: stored.Change{App: app, Noun: "command", Verb: verb, Done: done, ID: "ID", Filters: []string{"state", "priority", "older"}},
		do:     do,
	}
}

// cancel returns the subcommand that cancels commands.
func cancel(app *cli.App) *cobra.Command {
	return newChange(app, "Cancel", "canceled", (*aegisadmin.Admin).CancelCommand).command(&cobra.Command{
		Use:   "cancel SERVICE[/METHOD] [ID]",
		Short: "Cancel a command, or all that the flags pick",
		Long: "Cancels commands as their senders can: a command that no worker has begun never begins, and the\n" +
			"context of a handler that runs ends. The result of the command is CANCELED. A command that waits\n" +
			"is ended by the next worker that comes to it. Without ID it counts the commands that the flags\n" +
			"pick, or all with --all, and asks before it cancels them.",
		Example: "  aegis commands cancel order.v1.OrderService 3FJ2.1\n" +
			"  aegis commands cancel order.v1.OrderService/ReconcileBook --state waiting --older 24h --dry-run",
	})
}

// remove returns the subcommand that deletes commands.
func remove(app *cli.App) *cobra.Command {
	return newChange(app, "Delete", "deleted", (*aegisadmin.Admin).DeleteCommand).command(&cobra.Command{
		Use:   "delete SERVICE[/METHOD] [ID]",
		Short: "Delete a command from the queue, or all that the flags pick",
		Long: "Takes commands out of the queue as if they had never been sent: they have no result, and callers\n" +
			"that wait for one are told that there is no such command. `aegis commands cancel` is kinder to\n" +
			"them. A command that a worker has cannot be deleted. Without ID it counts the commands that the\n" +
			"flags pick, or all with --all, and asks before it deletes them.",
		Example: "  aegis commands delete order.v1.OrderService 3FJ2.1\n" +
			"  aegis commands delete order.v1.OrderService/ReconcileBook --all --yes",
	})
}

func (c *change) command(cmd *cobra.Command) *cobra.Command {
	c.filter.define(cmd)
	c.Define(cmd)
	cmd.Args = cobra.RangeArgs(1, 2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := methods.Parse(args[0])
		if err != nil {
			return err
		}
		f, err := c.filter.filter(t)
		if err != nil {
			return err
		}
		if err := c.Check(cmd, len(args) == 2); err != nil {
			return err
		}
		return stored.WithAdmin(cmd.Context(), c.App, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
			if len(args) == 2 {
				return c.one(ctx, admin, t, args[1])
			}
			return c.many(ctx, admin, t, f)
		})
	}
	return cmd
}

// one changes one command.
func (c *change) one(ctx context.Context, admin *aegisadmin.Admin, t methods.Target, id string) error {
	command, err := admin.Command(ctx, t.Service, id)
	if err != nil {
		return err
	}
	if command.Method == "" {
		return fmt.Errorf("the command %s has ended already, as %s", id, command.State)
	}
	agreed, err := c.Ask(ctx, fmt.Sprintf("the command %s of %s/%s, which is %s.", id, t.Service, command.Method, command.State))
	if !agreed || err != nil {
		return err
	}
	if err := c.do(admin, ctx, command); err != nil {
		return err
	}
	return c.Report(&stored.Outcome{Service: t.Service, Method: command.Method, Done: 1})
}

// many changes all commands that a filter picks, counted first.
func (c *change) many(ctx context.Context, admin *aegisadmin.Admin, t methods.Target, f aegisadmin.CommandFilter) error {
	reading := c.App.Progress("counting the commands of " + t.String())
	defer reading.Done()
	n, last := 0, uint64(0)
	byState := map[aegisadmin.CommandState]int{}
	for command, err := range admin.Commands(ctx, t.Service, f) {
		if err != nil {
			return err
		}
		n, last = n+1, command.Sequence
		byState[command.State]++
	}
	reading.Done()
	if n == 0 {
		if err := nothing(ctx, admin, t); err != nil {
			return err
		}
		c.App.Notef("There are no such commands. Nothing was changed.")
		if c.App.JSON() {
			return c.Report(&stored.Outcome{Service: t.Service, Method: t.Name})
		}
		return nil
	}
	agreed, err := c.Ask(ctx, fmt.Sprintf("%s of %s (%s).", c.Count(n), t, states(byState)))
	if !agreed || err != nil {
		return err
	}
	return c.each(ctx, admin, t, f, last, n)
}

// states lists how many commands are in which state.
func states(n map[aegisadmin.CommandState]int) string {
	text := ""
	for _, s := range []aegisadmin.CommandState{aegisadmin.Scheduled, aegisadmin.Waiting, aegisadmin.Running, aegisadmin.Retrying} {
		if n[s] > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%d %s", n[s], s)
		}
	}
	return text
}

// each changes the commands up to a sequence: those that came later were not counted.
func (c *change) each(ctx context.Context, admin *aegisadmin.Admin, t methods.Target, f aegisadmin.CommandFilter, last uint64, n int) error {
	so, end := c.Working(n)
	defer end()
	o := stored.Outcome{Service: t.Service, Method: t.Name}
	for command, err := range admin.Commands(ctx, t.Service, f) {
		if err != nil {
			return c.Broken(o.Done, n, err)
		}
		if command.Sequence > last {
			break
		}
		err = c.do(admin, ctx, command)
		if err != nil && ctx.Err() != nil {
			return c.Broken(o.Done, n, err)
		}
		o.Add(stored.Left{ID: command.ID}, err)
		so(o.Done)
	}
	end()
	return c.Report(&o)
}
