// Package chaos has the subcommand chaos, which kills, pauses, stops and restarts servers
// under load, and reports how long calls fail.
package chaos

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
)

const long = `Calls a method at a steady rate, does harm to the processes that serve it, one after the other,
and reports for each fault how long it took until calls succeeded again, and which calls failed.

The processes are the servers of the aegis dev that runs the project in the current directory, with
--demo those of aegis demo --forever --faults=false, or those of --pid. They have to be on this machine, a Unix system, of the same user, and no parent of
this command. aegis chaos pauses each for some milliseconds to find out which instance it is: the
one that does not answer meanwhile. The next fault waits until all instances that should be there
serve again.

The method is load balanced or single active and has one request and one response, or is a command,
which is sent, and whose result is waited for. The calls are real ones. The request is JSON, @FILE,
or - for standard input; in it {{.N}} is the number of the call, and {{.UUID}} a random UUID.

The failover is the time from the fault until the end of the first call that started after it, and
after the last call that failed, and succeeded. The outcome of a failed call is unknown if its
handler may have run: it was inside the process, or nobody can tell.

The exit code is 1 if a limit is exceeded, or if calls do not succeed again within --wait. Ctrl-C
lets a paused process go on, as does any other end of this command, and prints the report so far.`

const examples = `  aegis chaos kill order.v1.OrderService/PlaceOrder '{"id": "{{.UUID}}"}' --max-failover 5s
  aegis chaos restart hello.v1.HelloService/Hello --faults 10 --max-failed 20
  aegis chaos pause echo.v1.EchoService/Echo '{"text": "x"}' --pid 4711,4712 --pause 10s`

// Command returns the subcommand chaos.
func Command(app *cli.App) *cobra.Command {
	c := &cobra.Command{
		Use:     "chaos",
		Short:   "Kill, pause, stop and restart servers under load: failover, failed calls",
		Long:    long,
		Example: examples,
	}
	c.AddCommand(
		faultCommand(app, kill, "Kill servers (SIGKILL)",
			"Kills servers with SIGKILL, so that they can finish nothing. aegis dev and the demo start\n"+
				"a server that was killed again, after a pause of their own; nobody does a process of --pid."),
		faultCommand(app, pause, "Pause servers (SIGSTOP), and let them go on",
			"Pauses servers with SIGSTOP, as if their machine hung, and lets them go on with SIGCONT."),
		faultCommand(app, stop, "Stop servers gracefully (SIGTERM)",
			"Stops servers with SIGTERM, so that they finish what they do. aegis dev and the demo start them again\n"+
				"when they have ended; nobody does a process of --pid."),
		faultCommand(app, restart, "Kill servers, and start them again at once",
			"Kills servers of aegis dev or of the demo with SIGKILL, and has it start them again at once. By\n"+
				"default the next one is killed as soon as the last serves again."),
	)
	return c
}

func faultCommand(app *cli.App, k kind, short, about string) *cobra.Command {
	o := &order{kind: k}
	var agreed consent.Flags
	c := &cobra.Command{
		Use:     string(k) + " SERVICE/METHOD [JSON]",
		Short:   short,
		Long:    about + "\n\nFor the rest see aegis chaos --help.",
		Example: exampleOf(k),
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("timeout") {
				o.timeout = app.Timeout
			}
			if err := o.check(c.Flags().Changed); err != nil {
				return err
			}
			if err := agreed.Check(app); err != nil {
				return err
			}
			return run(c.Context(), app, o, &agreed, args)
		},
	}
	f := c.Flags()
	if k != restart {
		f.IntSliceVar(&o.pids, "pid", nil, "ids of the processes, with commas (default: the servers of aegis dev)")
	}
	f.BoolVar(&o.demo, "demo", false, "the servers of aegis demo --forever --faults=false")
	f.IntVar(&o.faults, "faults", 0, faultsUsage(k))
	every, usage := 2*time.Second, "how long calls go on undisturbed before each fault"
	if k == restart {
		every, usage = 0, usage+" (default 0s)"
	}
	f.DurationVar(&o.every, "every", every, usage)
	if k == pause {
		f.DurationVar(&o.pause, "pause", 5*time.Second, "how long a process is paused")
	}
	f.Float64Var(&o.rate, "rate", 100, "calls a second; at most 1,024 are in flight")
	f.StringVar(&o.target, "target", "", "which process: leader or random (default: the leader, if the method has one)")
	f.DurationVar(&o.wait, "wait", time.Minute, "how long a recovery is waited for; a pause is not part of it")
	f.DurationVar(&o.maxFailover, maxFailover, 0, "exit code 1 if a failover takes longer (default: no limit)")
	f.Int64Var(&o.maxFailed, maxFailed, 0, "exit code 1 if more calls fail, in all (default: no limit)")
	agreed.Define(c)
	return c
}

func faultsUsage(k kind) string {
	if k == kill || k == stop {
		return "how many faults (default 3; 1 with --pid)"
	}
	return "how many faults (default 3)"
}

func exampleOf(k kind) string {
	example := "  aegis chaos " + string(k) + " hello.v1.HelloService/Hello '{\"name\": \"NATS\"}'"
	if k == restart {
		return example + " --faults 10 --max-failed 20"
	}
	return example + "\n" + example + " --pid 4711,4712 --max-failover 5s"
}
