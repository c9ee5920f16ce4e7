package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/target"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// change is a subcommand that does the same to one command or to many.
type change struct {
	app     *cli.App
	verb    string // at the beginning of a sentence, such as "Cancel"
	done    string // such as "canceled"
	do      func(*aegisadmin.Admin, context.Context, *aegisadmin.Command) error
	filter  filterFlags
	all     bool
	consent consent.Flags
}

// cancel returns the subcommand that cancels commands.
func cancel(app *cli.App) *cobra.Command {
	c := &change{app: app, verb: "Cancel", done: "canceled", do: (*aegisadmin.Admin).CancelCommand}
	return c.command(&cobra.Command{
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
	c := &change{app: app, verb: "Delete", done: "deleted", do: (*aegisadmin.Admin).DeleteCommand}
	return c.command(&cobra.Command{
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
	cmd.Flags().BoolVar(&c.all, "all", false, "all commands of the service or the method (default false)")
	c.consent.Define(cmd)
	cmd.Args = cobra.RangeArgs(1, 2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := target.Parse(args[0])
		if err != nil {
			return err
		}
		f, err := c.filter.filter(t)
		if err != nil {
			return err
		}
		picked := cmd.Flags().Changed("state") || cmd.Flags().Changed("priority") || cmd.Flags().Changed("older")
		switch one := len(args) == 2; {
		case one && (picked || c.all):
			return cli.Usagef("an ID names one command: leave out --all, --state, --priority and --older")
		case !one && !picked && !c.all:
			return cli.Usagef("which commands? Name an ID, or pick them with --state, --priority or --older, or say --all")
		}
		if err := c.consent.Check(c.app); err != nil {
			return err
		}
		return withAdmin(cmd.Context(), c.app, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
			if len(args) == 2 {
				return c.one(ctx, admin, t, args[1])
			}
			return c.many(ctx, admin, t, f)
		})
	}
	return cmd
}

// outcome is what was done, as JSON shows it.
type outcome struct {
	Service string   `json:"service"`
	Method  string   `json:"method,omitempty"`
	Done    int      `json:"done"`
	Failed  int      `json:"failed"`
	Errors  []string `json:"errors,omitempty"`
}

// one changes one command.
func (c *change) one(ctx context.Context, admin *aegisadmin.Admin, t target.Target, id string) error {
	command, err := admin.Command(ctx, t.Service, id)
	if err != nil {
		return err
	}
	if command.Method == "" {
		return fmt.Errorf("the command %s has ended already, as %s", id, command.State)
	}
	agreed, err := c.consent.Ask(ctx, c.app, fmt.Sprintf("%s the command %s of %s.%s, which is %s.", c.verb, id, t.Service, command.Method, command.State))
	if !agreed || err != nil {
		return err
	}
	if err := c.do(admin, ctx, command); err != nil {
		return err
	}
	return c.report(outcome{Service: t.Service, Method: command.Method, Done: 1})
}

// many changes all commands that a filter picks, counted first.
func (c *change) many(ctx context.Context, admin *aegisadmin.Admin, t target.Target, f aegisadmin.CommandFilter) error {
	reading := c.app.Progress("counting the commands of " + t.String())
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
		c.app.Notef("There are no such commands. Nothing was changed.")
		if c.app.JSON() {
			return c.report(outcome{Service: t.Service, Method: t.Name})
		}
		return nil
	}
	agreed, err := c.consent.Ask(ctx, c.app, fmt.Sprintf("%s %s of %s (%s).", c.verb, target.Count(n, "command"), t, states(byState)))
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

// maxErrors bounds the errors that are told one by one.
const maxErrors = 20

// each changes the commands up to a sequence: those that came later were not counted.
func (c *change) each(ctx context.Context, admin *aegisadmin.Admin, t target.Target, f aegisadmin.CommandFilter, last uint64, n int) error {
	working := c.app.Progress(fmt.Sprintf("0 of %d %s", n, c.done))
	defer working.Done()
	o := outcome{Service: t.Service, Method: t.Name}
	for command, err := range admin.Commands(ctx, t.Service, f) {
		if err != nil {
			return fmt.Errorf("%d of %d %s, then: %w", o.Done, n, c.done, err)
		}
		if command.Sequence > last {
			break
		}
		switch err := c.do(admin, ctx, command); {
		case err == nil:
			o.Done++
		case ctx.Err() != nil:
			return fmt.Errorf("%d of %d %s, then: %w", o.Done, n, c.done, err)
		default:
			if o.Failed++; len(o.Errors) < maxErrors {
				o.Errors = append(o.Errors, command.ID+": "+err.Error())
			}
		}
		working.Sayf("%d of %d %s", o.Done, n, c.done)
	}
	working.Done()
	return c.report(o)
}

// report says what was done; commands that could not be changed are an error.
func (c *change) report(o outcome) error {
	if c.app.JSON() {
		if err := c.app.PrintJSON(o); err != nil {
			return err
		}
	} else if err := c.app.Printf("%s %s.\n", target.Count(o.Done, "command"), c.done); err != nil {
		return err
	}
	if o.Failed == 0 {
		return nil
	}
	for _, e := range o.Errors {
		c.app.Notef("%s", cli.Clean(e))
	}
	return fmt.Errorf("%s not %s", target.Count(o.Failed, "command"), c.done)
}
