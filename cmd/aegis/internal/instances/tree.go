package instances

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// branch is one line of the tree, and the lines below it.
type branch struct {
	text     string
	branches []branch
}

// Tree returns the subcommand tree.
func Tree(app *cli.App) *cobra.Command {
	var again cli.Again
	c := &cobra.Command{
		Use:   "tree [SERVICE]",
		Short: "Show services, instances, subscribers and leaders as a tree",
		Long: "Shows each service with its instances, the groups that they lead, with term and since when, and\n" +
			"the programs that subscribe to its events.",
		Example: "  aegis tree\n  aegis tree order.v1.OrderService --watch",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				draw := func(app *cli.App) error { return drawTree(ctx, app, conn, args) }
				if again.On {
					return app.Live(ctx, &again, draw)
				}
				return draw(app)
			})
		},
	}
	again.Define(c.Flags(), "draw the terminal", time.Second)
	return c
}

func drawTree(ctx context.Context, app *cli.App, conn *aegis.Conn, args []string) error {
	instances, err := conn.Instances(ctx, aegis.AllServices)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		var own []aegis.Instance
		for _, i := range instances {
			if i.Service == args[0] {
				own = append(own, i)
			}
		}
		if instances = own; len(own) == 0 {
			return unknownService(ctx, conn, args[0])
		}
	}
	services := summarise(instances)
	members := make(map[string][]Instance)
	for _, i := range instances {
		members[i.Service] = append(members[i.Service], instanceOf(i))
	}
	if app.JSON() {
		type service struct {
			*Service
			Members []Instance `json:"members"`
		}
		out := make([]service, len(services))
		for i, s := range services {
			out[i] = service{s, members[s.Service]}
		}
		return app.PrintJSON(out)
	}
	if len(services) == 0 {
		app.Notef("No service runs here.")
		return nil
	}
	for _, s := range services {
		if err := app.Printf("%s", app.Fit(serviceBranch(app, s, members[s.Service]).draw("", ""))); err != nil {
			return err
		}
	}
	return nil
}

func serviceBranch(app *cli.App, s *Service, members []Instance) branch {
	verdict := s.verdict()
	b := branch{text: app.Style.Paint(cli.Bold, cli.Clean(s.Service)) + "  " + app.Style.Paint(verdict.Colour, verdict.Text)}
	for _, m := range members {
		b.branches = append(b.branches, instanceBranch(app, m))
	}
	return b
}

func instanceBranch(app *cli.App, i Instance) branch {
	words := []string{cli.Clean(i.Instance)}
	if i.Subscriber {
		words = append(words, app.Style.Paint(cli.Dim, "subscriber"))
	}
	if i.Reserved {
		words = append(words, app.Style.Paint(cli.Dim, reserved))
	}
	state := stateCell(i.State)
	words = append(words, app.Style.Paint(state.Colour, state.Text))
	if i.Version != "" {
		words = append(words, "version "+cli.Clean(i.Version))
	}
	words = append(words, "up "+cli.Age(i.Started))
	if origin := i.words(); len(origin) > 0 {
		words = append(words, app.Style.Paint(cli.Dim, cli.Clean(strings.Join(origin, "  "))))
	}
	if remarks := i.remarks(); len(remarks) > 0 {
		words = append(words, app.Style.Paint(cli.Red, cli.Clean(strings.Join(remarks, ", "))))
	}
	b := branch{text: strings.Join(words, "  ")}
	for _, l := range i.Leads {
		b.branches = append(b.branches, branch{
			text: app.Style.Paint(cli.Cyan, fmt.Sprintf("leads %s  term %d  for %s", cli.Clean(l.Group), l.Term, cli.Age(l.Since))),
		})
	}
	return b
}

// draw returns the lines of a branch; first begins the first line and rest all others.
func (b branch) draw(first, rest string) string {
	var out strings.Builder
	out.WriteString(first + b.text + "\n")
	for i, sub := range b.branches {
		if i == len(b.branches)-1 {
			out.WriteString(sub.draw(rest+"└─ ", rest+"   "))
		} else {
			out.WriteString(sub.draw(rest+"├─ ", rest+"│  "))
		}
	}
	return out.String()
}
