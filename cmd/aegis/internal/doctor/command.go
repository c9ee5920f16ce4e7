// Package doctor has the subcommand that examines a system: the connection, NATS, its
// permissions and its JetStream, and what services keep there. It only looks.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// flags are those of the command.
type flags struct {
	scope       Scope
	checks      []string
	list, print bool
	failOn      string
	again       cli.Again
}

const (
	failNever       = "never"
	defaultStuck    = 30 * time.Second
	defaultInterval = 5 * time.Second
)

// Command returns the subcommand doctor.
func Command(app *cli.App) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine NATS, its streams and the services, and say what to do",
		Long: "Examines the connection to NATS, the versions and the JetStream of its servers, what this user\n" +
			"may do, and what services keep there: buckets, streams, consumers, queues, leaders, instances.\n" +
			"Each finding says what to do. Nothing is changed: what it tries with --role reaches nobody and\n" +
			"is stored nowhere. What this user may not look at is reported as unknown.\n\n" +
			"The exit code is 1 if a finding is an error, or as --fail-on says.",
		Example: "  aegis doctor\n" +
			"  aegis doctor --service order.v1.OrderService --role server\n" +
			"  aegis doctor --service order.v1.OrderService --role server,publisher --print-permissions\n" +
			"  aegis doctor --check queues,dead --watch",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), app, &f) },
	}
	s := c.Flags()
	s.StringVar(&f.scope.Service, "service", "", "full name of the one service to examine (default: all services)")
	s.StringVar(&f.scope.Role, "role", "", "role whose permissions are tried, several with commas: "+roleNames()+" (default: none)")
	s.StringVar(&f.scope.Instance, "instance", "", "name of the instance that --role is about (default: any instance)")
	s.BoolVar(&f.print, "print-permissions", false, "print the permissions that --role needs, for the configuration of nats-server, and end")
	s.StringSliceVar(&f.checks, "check", nil, "names of the checks to run, with commas (default: all); --list has the names")
	s.BoolVar(&f.list, "list", false, "list the checks and end")
	s.StringVar(&f.failOn, "fail-on", Failure.String(), "severity from which on the exit code is 1: warning, error or never")
	s.StringVar(&f.scope.Monitor, "monitor", "",
		"URL of the monitoring port of a NATS server, such as http://127.0.0.1:8222, for sync_interval (default: none)")
	s.DurationVar(&f.scope.StuckAfter, "stuck-after", defaultStuck, "how long a message may wait before it counts as stuck, if nobody has it in hand")
	f.again.Define(s, "print what changes", defaultInterval)
	return c
}

func roleNames() string {
	var names []string
	for _, r := range roles() {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}

// check returns an error for flags that make no sense.
func (f *flags) check() error {
	switch {
	case f.failOn != Failure.String() && f.failOn != Warning.String() && f.failOn != failNever:
		return cli.Usagef("--fail-on %s: use warning, error or never", f.failOn)
	case f.scope.StuckAfter < 0:
		return cli.Usagef("--stuck-after %s: must not be negative", f.scope.StuckAfter)
	case f.scope.Service != "" && !registry.ValidService(f.scope.Service):
		return cli.Usagef("--service %s: it is no full name of a service, such as order.v1.OrderService", f.scope.Service)
	case f.scope.Instance != "" && !wire.ValidInstance(f.scope.Instance):
		return cli.Usagef("--instance %s: use 1 to 64 characters of A-Z a-z 0-9 _ -", f.scope.Instance)
	case f.print && f.scope.Role == "":
		return cli.Usagef("--print-permissions: say with --role whose; use %s", roleNames())
	case f.print && f.again.On:
		return cli.Usagef("--print-permissions and --watch: give one of them")
	}
	if err := f.again.Check(); err != nil || f.scope.Role == "" {
		return err
	}
	r, err := rolesNamed(f.scope.Role)
	if err == nil && r.service && f.scope.Service == "" {
		return cli.Usagef("--role %s: say with --service of which service", r.name)
	}
	return err
}

func run(ctx context.Context, app *cli.App, f *flags) error {
	if err := f.check(); err != nil {
		return err
	}
	if (f.list || f.print) && app.InCluster() {
		return cli.Usagef("--list and --print-permissions do not connect to NATS; leave --kube out")
	}
	picked, err := pick(f.checks)
	if err != nil {
		return err
	}
	switch {
	case f.list:
		return listChecks(app, picked)
	case f.print:
		return printPermissions(ctx, app, f)
	}
	s, err := open(ctx, app)
	if err != nil {
		return err
	}
	defer s.nc.Close()
	p := &painter{style: app.Style}
	p.width, _ = app.Terminal()
	if f.again.On {
		return newWatch(app, s, f.scope, picked, f.again.Every, p).run(ctx)
	}
	return lookOnce(ctx, app, s, f, picked, p)
}

// lookOnce looks once, and returns the error that makes the exit code.
func lookOnce(ctx context.Context, app *cli.App, s *Session, f *flags, picked []Check, p *painter) error {
	progress := app.Progress("looking")
	results := runChecks(ctx, s, f.scope, picked, func(name string) { progress.Sayf("looking at %s", name) })
	progress.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	report := reportOf(results)
	var err error
	if app.JSON() {
		err = app.PrintJSON(report)
	} else {
		err = app.Printf("%s", p.report(&report))
	}
	if err != nil {
		return err
	}
	if fails(f.failOn, &report) {
		return cli.Exit(1)
	}
	return nil
}

// fails reports whether the findings make the exit code 1.
func fails(failOn string, r *Report) bool {
	bad := r.Counts[Failure.String()]
	if failOn == Warning.String() {
		bad += r.Counts[Warning.String()]
	}
	return failOn != failNever && bad > 0
}

// checkRow is a check in the JSON of --list.
type checkRow struct {
	Check string   `json:"check"`
	Looks string   `json:"looks"`
	Reads string   `json:"reads"`
	IDs   []string `json:"ids"`
}

func listChecks(app *cli.App, picked []Check) error {
	rows := make([]checkRow, len(picked))
	for i, c := range picked {
		rows[i] = checkRow{Check: c.Name, Looks: c.Looks, Reads: strings.ReplaceAll(c.Reads, "`", "")}
		for _, id := range c.IDs {
			rows[i].IDs = append(rows[i].IDs, c.Name+"."+id)
		}
	}
	return app.Print(rows, func(t *cli.Table) {
		t.Header("CHECK", "LOOKS AT")
		for _, r := range rows {
			t.Row(r.Check, r.Looks)
		}
	})
}

// grants is the JSON of --print-permissions.
type grants struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
	// Responses says that the role answers requests: allow_responses with max -1.
	Responses bool `json:"allow_responses"`
}

func printPermissions(ctx context.Context, app *cli.App, f *flags) error {
	r, err := rolesNamed(f.scope.Role)
	if err != nil {
		return err
	}
	l, err := linkOf(ctx, app)
	if err != nil {
		return err
	}
	e := newExpander(l.namespace, l.api, l.inbox, &f.scope)
	if !app.JSON() {
		return app.Printf("%s", permissionsBlock(&r, &e))
	}
	g := grants{Publish: []string{}, Subscribe: []string{}, Responses: r.replies}
	for _, p := range e.expanded(&r) {
		g.Publish = append(g.Publish, p.publish...)
		g.Subscribe = append(g.Subscribe, p.subscribe...)
	}
	return app.PrintJSON(g)
}

// link is what the settings say beside where NATS is.
type link struct{ namespace, api, inbox string }

func linkOf(ctx context.Context, app *cli.App) (link, error) {
	settings, err := app.Settings().Resolve(ctx)
	if err != nil {
		return link{}, err
	}
	l := link{namespace: settings.Namespace, api: defaultAPIPrefix, inbox: settings.InboxPrefix}
	if l.namespace == "" {
		l.namespace = wire.DefaultNamespace
	}
	if l.inbox == "" {
		l.inbox = defaultInbox
	}
	switch {
	case settings.JSAPIPrefix != "":
		l.api = settings.JSAPIPrefix
	case settings.JSDomain != "":
		l.api = fmt.Sprintf("$JS.%s.API", settings.JSDomain)
	}
	return l, nil
}

// open connects to NATS.
func open(ctx context.Context, app *cli.App) (*Session, error) {
	l, err := linkOf(ctx, app)
	if err != nil {
		return nil, err
	}
	nc, err := app.ConnectNATS(ctx)
	if err != nil {
		return nil, err
	}
	return newSession(sessionOptions{NATS: nc, Namespace: l.namespace, APIPrefix: l.api, Timeout: app.Timeout}), nil
}
