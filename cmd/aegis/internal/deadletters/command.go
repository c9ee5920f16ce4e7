// Package deadletters has the subcommand that looks after dead letters.
package deadletters

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	"github.com/aegisrpc/aegis/internal/near"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Command returns the subcommand deadletters.
func Command(app *cli.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletters [SERVICE[/METHOD]]",
		Short: "Count, list, show, retry and delete dead letters",
		Long: "Counts the events and commands that no handler could handle, by method, subscriber and reason.\n" +
			"Reasons that differ only in words with digits count as one, with # for such a word. Without\n" +
			"SERVICE it counts those of all services.",
		Example: "  aegis deadletters\n" +
			"  aegis deadletters list order.v1.OrderService/ReconcileBook\n" +
			"  aegis deadletters show order.v1.OrderService 17\n" +
			"  aegis deadletters retry order.v1.OrderService/ReconcileBook --reason 'UNAVAILABLE: no limits'",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return stored.WithAdmin(c.Context(), app, func(ctx context.Context, _ *aegis.Conn, admin *aegisadmin.Admin) error {
				return count(ctx, app, admin, args)
			})
		},
	}
	c.AddCommand(list(app), show(app), retry(app), remove(app))
	return c
}

// group is a group of dead letters as JSON shows it.
type group struct {
	Service       string    `json:"service"`
	Method        string    `json:"method"`
	Consumer      string    `json:"consumer,omitempty"`
	Reason        string    `json:"reason"`
	Example       string    `json:"example"`
	Count         int       `json:"count"`
	First         time.Time `json:"first"`
	Last          time.Time `json:"last"`
	FirstSequence uint64    `json:"first_sequence"`
	LastSequence  uint64    `json:"last_sequence"`
}

func count(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, args []string) error {
	var to methods.Target
	services := []string{}
	var err error
	if len(args) > 0 {
		to, err = methods.Parse(args[0])
		services = append(services, to.Service)
	} else {
		services, err = admin.Services(ctx)
	}
	if err != nil {
		return err
	}
	reading := app.Progress("reading the dead letters")
	defer reading.Done()
	groups := []group{}
	for _, service := range services {
		found, err := admin.DeadLetterGroups(ctx, service)
		if err != nil {
			return err
		}
		for _, g := range found {
			if to.Name == "" || g.Method == to.Name {
				groups = append(groups, group(g))
			}
		}
	}
	reading.Done()
	if len(groups) == 0 {
		if len(args) > 0 {
			if err := stored.Unknown(ctx, admin, to.Service, "dead letters"); err != nil {
				return err
			}
		}
		if !app.JSON() {
			app.Notef("There are no dead letters.")
			return nil
		}
	}
	return app.Print(groups, func(t *cli.Table) {
		t.Header("SERVICE", "METHOD", "SUBSCRIBER", "COUNT", "LAST", "REASON")
		for _, g := range groups {
			t.Row(g.Service, g.Method, g.Consumer, g.Count, cli.Age(g.Last)+" ago", g.Reason)
		}
	})
}

// none says that a filter picks nothing, or why the name in it is wrong.
func none(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, to methods.Target) error {
	if err := stored.Unknown(ctx, admin, to.Service, "dead letters"); err != nil {
		return err
	}
	if to.Name != "" {
		groups, err := admin.DeadLetterGroups(ctx, to.Service)
		if err != nil {
			return err
		}
		var names []string
		for _, g := range groups {
			if !slices.Contains(names, g.Method) {
				names = append(names, g.Method)
			}
		}
		if near := near.Name(to.Name, names); near != "" && near != to.Name {
			return fmt.Errorf("%s has no dead letters; did you mean %s?", to, near)
		}
	}
	app.Notef("There are no such dead letters.")
	return nil
}
