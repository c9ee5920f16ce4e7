// Package demonstration has the subcommand demo.
package demonstration

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/demo"
)

const next = `All went as promised.

What to try next:
  aegis init shop && cd shop && aegis dev   a service of your own, running
`

// roleName is the subcommand that the demo's own processes run.
const roleName = "role"

// Command returns the subcommand demo.
func Command(app *cli.App) *cobra.Command {
	shown := demo.Program{Next: next}
	faults := true
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show calls, leaders, events and commands while servers are killed",
		Long: "Starts a NATS server and several processes on this machine, has them make calls, place orders,\n" +
			"tell of them by events and add them up by commands, kills and stops servers meanwhile, and counts\n" +
			"in the end. It takes about 15 s, needs a Unix system, and leaves nothing behind.\n\n" +
			"With --forever it keeps servers running, under load, for you to look at and to harm yourself:\n" +
			"without faults of its own, aegis chaos --demo finds its servers. --monitor shows them on a web page.",
		Example: "  aegis demo\n  aegis demo --forever --faults=false --monitor",
		RunE: func(c *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			shown.Self, shown.NoFaults = []string{self, c.Name(), roleName}, !faults
			if err = shown.Show(c.Context(), app.Out); errors.Is(err, demo.ErrNotForever) {
				return cli.Usagef("%v", err)
			}
			return err
		},
	}
	c.Flags().BoolVar(&shown.Forever, "forever", false, demo.ForeverUsage)
	c.Flags().BoolVar(&faults, "faults", true, demo.FaultsUsage)
	c.Flags().BoolVar(&shown.Monitor, "monitor", false, demo.MonitorUsage)
	c.AddCommand(&cobra.Command{
		Use: roleName, Short: "One of the processes of the demo", Example: "  aegis demo", Hidden: true,
		Args: cobra.MinimumNArgs(1), DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := shown.Play(c.Context(), args, app.Out); err != nil {
				return err
			}
			return cli.Exit(0) // the demo ends its servers with SIGTERM, and that is no failure
		},
	})
	return cli.OneFormat(cli.Offline(c))
}
