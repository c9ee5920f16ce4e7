// Package commands has the subcommand that looks after the commands of services.
package commands

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/pausing"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Command returns the subcommand commands.
func Command(app *cli.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "commands [SERVICE]",
		Short: "Count, list, show, cancel and pause commands",
		Long: "Counts the commands that have not ended, by service and method: those that wait for a worker,\n" +
			"those that are not due yet, and those that workers have. Without SERVICE it counts those of all\n" +
			"services. The numbers come from NATS; no worker has to run.",
		Example: "  aegis commands\n" +
			"  aegis commands list order.v1.OrderService/ReconcileBook --state retrying\n" +
			"  aegis commands show order.v1.OrderService 3FJ2.1\n" +
			"  aegis commands pause order.v1.OrderService/ReconcileBook --for 1h",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return stored.WithAdmin(c.Context(), app, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
				return count(ctx, app, admin, args)
			})
		},
	}
	c.AddCommand(list(app), show(app), cancel(app), remove(app), pausing.Pause(app, pausing.Commands), pausing.Resume(app, pausing.Commands))
	return c
}

// method is the commands of a method as JSON shows them.
type method struct {
	Service     string     `json:"service"`
	Method      string     `json:"method"`
	Waiting     int        `json:"waiting"`
	Scheduled   int        `json:"scheduled"`
	UnderWay    int        `json:"under_way"`
	Redelivered int        `json:"redelivered"`
	Levels      []level    `json:"levels"`
	Oldest      *time.Time `json:"oldest,omitempty"`
	Workers     bool       `json:"workers"`
	PausedUntil *time.Time `json:"paused_until,omitempty"`
}

type level struct {
	Priority string `json:"priority"`
	Waiting  int    `json:"waiting"`
	UnderWay int    `json:"under_way"`
}

func methodOf(m *aegisadmin.CommandMethod) method {
	row := method{
		Service: m.Service, Method: m.Method, Waiting: m.Waiting, Scheduled: m.Scheduled, UnderWay: m.UnderWay,
		Redelivered: m.Redelivered, Levels: []level{}, Oldest: stored.Moment(m.Oldest), Workers: m.Workers, PausedUntil: stored.Moment(m.PausedUntil),
	}
	for _, l := range m.Levels {
		row.Levels = append(row.Levels, level{Priority: l.Priority, Waiting: l.Waiting, UnderWay: l.UnderWay})
	}
	return row
}

// count prints the numbers of the commands of a service, or of all services.
func count(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, args []string) error {
	services, err := stored.Services(ctx, admin, args)
	if err != nil {
		return err
	}
	rows := []method{}
	for _, service := range services {
		methods, err := admin.CommandMethods(ctx, service)
		if err != nil {
			return err
		}
		for i := range methods {
			rows = append(rows, methodOf(&methods[i]))
		}
	}
	if len(rows) == 0 {
		if len(args) > 0 {
			if err := stored.Unknown(ctx, admin, args[0], "commands"); err != nil {
				return err
			}
		}
		if !app.JSON() {
			app.Notef("There are no commands.")
			return nil
		}
	}
	return app.Print(rows, func(t *cli.Table) {
		t.Header("SERVICE", "METHOD", "WAITING", "SCHEDULED", "UNDER WAY", "RETRIED", "OLDEST", "REMARKS")
		for _, r := range rows {
			oldest := ""
			if r.Oldest != nil {
				oldest = cli.Age(*r.Oldest)
			}
			t.Row(r.Service, r.Method, r.Waiting, r.Scheduled, r.UnderWay, r.Redelivered, oldest, r.remarks())
		}
	})
}

// remarks says what a person has to know of the method.
func (m *method) remarks() cli.Styled {
	switch {
	case m.PausedUntil != nil:
		return cli.Styled{Text: "paused for " + cli.In(*m.PausedUntil), Colour: cli.Yellow}
	case !m.Workers:
		return cli.Styled{Text: "no worker yet", Colour: cli.Yellow}
	default:
		return cli.Styled{}
	}
}
