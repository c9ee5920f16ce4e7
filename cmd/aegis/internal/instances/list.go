// Package instances has the subcommands that show services and their instances.
package instances

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// List returns the subcommand ls.
func List(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [SERVICE]",
		Short: "List the services that run, or the instances of one",
		Long: "Lists each service with the number of its instances, their versions, their leaders and what\n" +
			"is wrong with them. With SERVICE, the full name of a service, it lists the instances of that\n" +
			"service, with zone, node, build and labels if one of them says such a thing of itself. Programs that\n" +
			"only subscribe to events of a service are not among its instances; `aegis ls subscribers:SERVICE`\n" +
			"lists them. Reserved instances take only calls that choose them, and are counted apart.",
		Example: "  aegis ls\n  aegis ls order.v1.OrderService\n  aegis ls -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				if len(args) == 0 {
					return listServices(ctx, app, conn)
				}
				return listInstances(ctx, app, conn, args[0])
			})
		},
	}
}

func listServices(ctx context.Context, app *cli.App, conn *aegis.Conn) error {
	instances, err := conn.Instances(ctx, aegis.AllServices)
	if err != nil {
		return err
	}
	services := summarise(instances)
	if len(services) == 0 && !app.JSON() {
		app.Notef("No service runs here. Start one (`aegis dev` in a project), or name another NATS with --server.")
		return nil
	}
	return app.Print(services, func(t *cli.Table) {
		t.Header("SERVICE", "INSTANCES", "VERSION", "LEADERS", "SUBSCRIBERS", "STATE")
		for _, s := range services {
			t.Row(s.Service, s.count(), strings.Join(s.Versions, ", "), leaderNames(s.Leaders), s.Subscribers, s.verdict())
		}
	})
}

// subscribersPrefix begins the argument that asks for the subscribers of a service.
const subscribersPrefix = "subscribers:"

func listInstances(ctx context.Context, app *cli.App, conn *aegis.Conn, name string) error {
	service := name
	if of, ok := strings.CutPrefix(name, subscribersPrefix); ok {
		service = aegis.Subscribers(of)
	}
	found, err := conn.Instances(ctx, service)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return unknownService(ctx, conn, name)
	}
	rows := make([]Instance, len(found))
	for i, f := range found {
		rows[i] = instanceOf(f)
	}
	return app.Print(rows, func(t *cli.Table) { fill(t, rows) })
}

// serviceOf returns the service that the arguments name, all services if they name none.
func serviceOf(args []string) string {
	if len(args) == 0 {
		return aegis.AllServices
	}
	return args[0]
}

// unknownService returns the error for a service that has no instance, with the name that
// was probably meant.
func unknownService(ctx context.Context, conn *aegis.Conn, name string) error {
	names, err := conn.Services(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, name) {
		return fmt.Errorf("%s has no instance any more", name)
	}
	if near := near.Name(name, names); near != "" {
		return fmt.Errorf("no instance of %s runs; did you mean %s?", name, near)
	}
	return fmt.Errorf("no instance of %s runs; `aegis ls` lists the services that run", name)
}
