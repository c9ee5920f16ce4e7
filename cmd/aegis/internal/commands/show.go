package commands

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/payload"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// show returns the subcommand that shows a command.
func show(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "show SERVICE[/METHOD] ID",
		Short: "Show one command: its state, attempts, progress, request or result",
		Long: "Shows a command by its id, in whatever state. A command that has ended shows its result instead\n" +
			"of its request, as NATS keeps no request then, and the result does not name its method: to have\n" +
			"the result decoded, say SERVICE/METHOD. Errors of attempts that were followed by others are in\n" +
			"the log of the worker alone.",
		Example: "  aegis commands show order.v1.OrderService 3FJ2.1\n  aegis commands show order.v1.OrderService/ReconcileBook 3FJ2.1 -o json",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.Parse(args[0])
			if err != nil {
				return err
			}
			return stored.WithAdmin(c.Context(), app, func(ctx context.Context, conn *aegis.Conn, admin *aegisadmin.Admin) error {
				command, err := admin.Command(ctx, t.Service, args[1])
				if err != nil {
					return err
				}
				if command.Method != "" && t.Name != "" && command.Method != t.Name {
					return fmt.Errorf("the command %s is one of %s, not of %s", args[1], command.Method, t.Name)
				}
				return showCommand(ctx, app, conn, command, t)
			})
		},
	}
}

func showCommand(ctx context.Context, app *cli.App, conn *aegis.Conn, c *aegisadmin.Command, t methods.Target) error {
	r := rowOf(c)
	ended := c.State == aegisadmin.Succeeded
	if r.Method == "" {
		r.Method = t.Name
	}
	if c.Err == nil {
		if r.Method == "" {
			r.Message = &payload.Payload{Base64: c.Data, Bytes: len(c.Data), Why: "name the method to have the result decoded: SERVICE/METHOD"}
		} else {
			r.Message = payload.NewReader(conn, c.Service).Read(ctx, r.Method, ended, c.ContentType, c.Data)
		}
	}
	return app.Print(r, func(table *cli.Table) {
		for _, line := range r.lines(ended) {
			table.Row(cli.Styled{Text: line[0], Colour: cli.Bold}, line[1])
		}
		if r.Message != nil {
			name := "Request"
			if ended {
				name = "Result"
			}
			table.Row(cli.Styled{Text: name, Colour: cli.Bold}, r.Message.Text())
		}
	})
}

// lines returns the fields that a person reads, but for the message.
func (r *row) lines(ended bool) [][2]string {
	stored := "Stored"
	if ended || r.Error != nil {
		stored = "Ended"
	}
	lines := [][2]string{
		{"Command", r.ID},
		{"Service", r.Service},
		{"Method", r.Method},
		{"State", stateCell(r).Text},
		{"Priority", r.Priority},
		{stored, cli.Clock(r.Stored) + ", " + cli.Age(r.Stored) + " ago"},
	}
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, [2]string{name, text})
		}
	}
	if r.Due != nil {
		add("Due", cli.Clock(*r.Due)+", in "+r.dueText())
	}
	if r.Expires != nil {
		add("Expires", cli.Clock(*r.Expires))
	}
	if r.Failures > 0 {
		add("Failed", cli.Count(r.Failures, "attempt"))
		if r.FailedAt != nil {
			add("Last failure", cli.Clock(*r.FailedAt))
		}
	}
	if r.Attempt > 0 {
		add("Attempt", strconv.Itoa(r.Attempt))
	}
	add("Progress", r.progressText())
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		add("Metadata "+key, strings.Join(r.Metadata[key], ", "))
	}
	if r.Error != nil {
		add("Error", strings.TrimSpace(r.Error.Code+" "+r.Error.Reason)+": "+r.Error.Message)
	}
	return lines
}
