// Package dev has the subcommand dev, which runs the servers of a project beside a NATS
// server and restarts a server when its files change.
package dev

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
)

// options are the flags of dev.
type options struct {
	instances int
	port      int
	grace     time.Duration
	clean     bool
	monitor   string
	join      bool
	labels    []string
	link      link
}

// defaultPort is the port on which NATS listens unless somebody else does.
const defaultPort = 4222

// mostInstances bounds --instances: more processes than that are a mistake.
const mostInstances = 100

// Command returns the subcommand dev.
func Command(app *cli.App) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "dev [PACKAGE...]",
		Short: "Run NATS and the servers of a project, and restart a server when its files change",
		Long: "Starts a NATS server with JetStream on this machine alone, generates the code of the protos,\n" +
			"builds the project's servers and runs them. A change of a file builds anew: a server whose\n" +
			"program has changed is stopped gracefully and started again. A change of a proto or of a\n" +
			"buf file generates the code first. What does not generate or build is shown, and what runs\n" +
			"goes on running. A server that fails is started again, after 1 s, 2 s and so on up to 30 s.\n\n" +
			"The servers are the main packages below ./server and ./cmd, but for those that have \"client\"\n" +
			"in the name of their directory, or the packages that are named, such as ./billing.\n\n" +
			"A server runs in the folder of the project, in the environment of this command, and finds\n" +
			"NATS by NATS_URL. NATS keeps its files in the project, in .aegis/nats, for the next time.\n" +
			"With the flag --server or --context no NATS is started, and the servers get what the flags\n" +
			"say.\n\n" +
			"With --kube the servers use the NATS of a Kubernetes cluster, and call its services. They stand\n" +
			"beside the instances there: they are in the registry, but reserved, so that only calls reach them\n" +
			"that choose them by a label, as aegis call --where does. They get no share of the other calls,\n" +
			"no commands and no events, and lead nothing. Tools for other networks call that a personal\n" +
			"intercept. With --join they take their share of all of it. The servers have to connect with\n" +
			"package aegisenv, as those of aegis init do.\n\n" +
			"A monitor shows the services on a web page of this machine, see aegis monitor. It can change\n" +
			"and call things on the NATS that this command has started, and on another one only read.\n\n" +
			"Ctrl-C stops the servers gracefully, then NATS, and the exit code is 130. On Linux no server\n" +
			"outlives this command, even if it is killed.",
		Example: "  aegis dev\n" +
			"  aegis dev --instances 3\n" +
			"  aegis dev ./server ./billing --clean\n" +
			"  aegis dev --kube --kube-context staging --label dev=anna",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if o.link, err = linkOf(c.Flags(), app.InCluster()); err != nil {
				return err
			}
			if err := o.check(c.Flags().Changed("port"), app.InCluster()); err != nil {
				return err
			}
			if app.InCluster() {
				if o.link.guest, err = guestOf(o.labels, os.Getenv(variableLabels), o.join); err != nil {
					return err
				}
			}
			return run(c.Context(), app, o, args)
		},
	}
	f := c.Flags()
	f.IntVar(&o.instances, "instances", 1, "how many processes of each server run: 1 to 100")
	f.IntVar(&o.port, "port", 0, "port of NATS (default 4222, or a free one if 4222 is taken)")
	f.DurationVar(&o.grace, "grace", 10*time.Second, "how long a server may take to stop before it is killed")
	f.StringVar(&o.monitor, "monitor", "", "address of the monitor on this machine, HOST:PORT, or "+monitorOff+
		" for none (default "+monitorhttp.DefaultAddress+", or a free port if that is taken)")
	f.StringArrayVar(&o.labels, "label", nil, "label of the servers in the cluster, `KEY=VALUE`, with --kube; calls choose them by the first one; "+
		"may be given several times (default: "+devLabel+"= and the name of the user)")
	f.BoolVar(&o.join, "join", false, "take a share of the calls, commands and events of the cluster, and lead, with --kube "+
		"(default: serve only calls that choose the servers)")
	f.BoolVar(&o.clean, "clean", false, "delete first what NATS has stored: events, commands, results (default: it is kept)")
	return c
}

// check refuses values and combinations that mean nothing.
func (o *options) check(portGiven, cluster bool) error {
	switch {
	case o.instances < 1 || o.instances > mostInstances:
		return cli.Usagef("--instances %d: use 1 to %d", o.instances, mostInstances)
	case o.grace <= 0:
		return cli.Usagef("--grace %s: use more than 0", o.grace)
	case portGiven && (o.port < 1 || o.port > 65535):
		return cli.Usagef("--port %d: use 1 to 65535", o.port)
	case o.link.outside && portGiven:
		return cli.Usagef("--port is for the NATS that dev starts, and with --server, --context or --kube it starts none: leave one of them out")
	case o.link.outside && o.clean:
		return cli.Usagef("--clean deletes the files of the NATS that dev starts, and with --server, --context or --kube it starts none: leave one of them out")
	case !cluster && o.join:
		return cli.Usagef("--join is for the services of a cluster: give --kube as well")
	case !cluster && len(o.labels) > 0:
		return cli.Usagef("--label chooses among the instances of a cluster: give --kube as well")
	}
	return nil
}
