package commands

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/payload"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// list returns the subcommand that lists commands.
func list(app *cli.App) *cobra.Command {
	var filter filterFlags
	var limit stored.Limit
	c := &cobra.Command{
		Use:   "list SERVICE[/METHOD]",
		Short: "List the commands in the queue, the oldest first",
		Long: "Lists the commands that have not ended, in the order in which they were stored. Commands that\n" +
			"workers have are RUNNING, or RETRYING between attempts. With -o json each command is one line.",
		Example: "  aegis commands list order.v1.OrderService/ReconcileBook\n" +
			"  aegis commands list order.v1.OrderService --state retrying --older 10m --limit 20",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := methods.Parse(args[0])
			if err != nil {
				return err
			}
			f, err := filter.filter(t)
			if err != nil {
				return err
			}
			if err := limit.Check(); err != nil {
				return err
			}
			return stored.WithAdmin(c.Context(), app, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
				return listCommands(ctx, app, admin, t, f, &limit)
			})
		},
	}
	filter.define(c)
	limit.Define(c, "commands")
	return c
}

// row is a command as JSON shows it.
type row struct {
	Service   string              `json:"service"`
	Method    string              `json:"method,omitempty"`
	ID        string              `json:"id"`
	State     string              `json:"state"`
	Priority  string              `json:"priority,omitempty"`
	Stored    time.Time           `json:"stored"`
	Sequence  uint64              `json:"sequence,omitempty"`
	Due       *time.Time          `json:"due,omitempty"`
	Expires   *time.Time          `json:"expires,omitempty"`
	Failures  int                 `json:"failures"`
	FailedAt  *time.Time          `json:"failed_at,omitempty"`
	Attempt   int                 `json:"attempt,omitempty"`
	Progress  *progress           `json:"progress,omitempty"`
	Canceling bool                `json:"canceling,omitempty"`
	Metadata  map[string][]string `json:"metadata,omitempty"`
	Bytes     int                 `json:"bytes"`
	Error     *failure            `json:"error,omitempty"`
	Message   *payload.Payload    `json:"message,omitempty"`
}

type progress struct {
	Percent float64 `json:"percent"`
	Message string  `json:"message,omitempty"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"`
}

func rowOf(c *aegisadmin.Command) row {
	r := row{
		Service: c.Service, Method: c.Method, ID: c.ID, State: string(c.State), Priority: c.Priority, Stored: c.Stored, Sequence: c.Sequence,
		Due: stored.Moment(c.Due), Expires: stored.Moment(c.Expires), Failures: c.Failures, FailedAt: stored.Moment(c.FailedAt), Attempt: c.Attempt,
		Canceling: c.Canceling, Metadata: c.Header, Bytes: len(c.Data),
	}
	if c.Progress != nil {
		r.Progress = &progress{c.Progress.Percent, c.Progress.Message}
	}
	if e, ok := errors.AsType[*aegis.Error](c.Err); ok {
		r.Error = &failure{Code: e.Code().String(), Message: e.Message(), Reason: e.Reason()}
	}
	return r
}

func listCommands(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, to methods.Target, f aegisadmin.CommandFilter, limit *stored.Limit) error {
	n, err := stored.List(app, "reading the commands of "+to.String(), limit, admin.Commands(ctx, to.Service, f), rowOf, fillRows)
	if n > 0 || err != nil {
		return err
	}
	if err := nothing(ctx, admin, to); err != nil {
		return err
	}
	app.Notef("There are no such commands.")
	return nil
}

func fillRows(t *cli.Table, rows []row) {
	t.Header("ID", "METHOD", "STATE", "PRIORITY", "AGE", "FAILED", "PROGRESS", "DUE IN", "SIZE")
	for i := range rows {
		r := &rows[i]
		t.Row(r.ID, r.Method, stateCell(r), r.Priority, cli.Age(r.Stored), r.Failures, r.progressText(), r.dueText(), cli.Bytes(r.Bytes))
	}
}

// nothing returns why there are no commands, if the name is wrong.
func nothing(ctx context.Context, admin *aegisadmin.Admin, to methods.Target) error {
	if err := stored.Unknown(ctx, admin, to.Service, "commands"); err != nil || to.Name == "" {
		return err
	}
	methods, err := admin.CommandMethods(ctx, to.Service)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(methods))
	for _, m := range methods {
		if m.Method == to.Name {
			return nil
		}
		names = append(names, m.Method)
	}
	return stored.UnknownName("method with commands or workers", to.Name, names)
}

func stateCell(r *row) cli.Styled {
	colour := cli.Plain
	switch aegisadmin.CommandState(r.State) {
	case aegisadmin.Running, aegisadmin.Succeeded:
		colour = cli.Green
	case aegisadmin.Retrying:
		colour = cli.Yellow
	case aegisadmin.Failed:
		colour = cli.Red
	default:
	}
	text := r.State
	if r.Canceling {
		text += " (canceling)"
	}
	return cli.Styled{Text: text, Colour: colour}
}

func (r *row) progressText() string {
	if r.Progress == nil {
		return ""
	}
	percent, _ := json.Marshal(r.Progress.Percent) //nolint:errchkjson // a report has a finite number
	return strings.TrimSpace(string(percent) + "% " + r.Progress.Message)
}

func (r *row) dueText() string {
	if r.Due == nil {
		return ""
	}
	return cli.In(*r.Due)
}
