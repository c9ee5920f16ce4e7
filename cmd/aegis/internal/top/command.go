// Package top has the subcommand that shows the services in the terminal, as long as one
// wants to see them.
package top

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/top/feed"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// tokenVariable is the variable of the environment with the token of a monitor.
const tokenVariable = "AEGIS_MONITOR_TOKEN"

// errNoTerminal is the error of a view that nobody at a terminal would see.
var errNoTerminal = errors.New("top draws on a terminal and reads its keys, and there is none; " +
	"use `aegis health` or `aegis ls`, with --output json for a program, or the API of `aegis monitor`")

// options are the flags of top.
type options struct {
	monitor, tokenFile string
}

// Command returns the subcommand top.
func Command(app *cli.App) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "top [SERVICE]",
		Short: "Watch services, leaders, queues and events live in the terminal",
		Long: "Shows in the terminal what the page of aegis monitor shows in a browser: how all is, and what\n" +
			"needs attention; the services with their grades, rates, errors and latencies; leaders, and the gaps\n" +
			"between them in the last hour; queues, subscriptions and dead letters; and what has happened.\n" +
			"With SERVICE it begins with the details of that service. It changes nothing.\n\n" +
			"It is a monitor of its own, which begins to watch when it is started, or with --monitor a view of\n" +
			"one that runs, which knows the last hour. Keys: 1 to 6 views, Enter open, Esc back, / filter, s sort,\n" +
			"? all keys, q quit.",
		Example: "  aegis top\n  aegis top order.v1.OrderService\n  aegis top --monitor https://ops.example/monitor --token-file token",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return o.run(c.Context(), app, strings.Join(args, ""))
		},
	}
	f := c.Flags()
	f.StringVar(&o.monitor, "monitor", "", "URL of a running monitor to view (default: watch NATS without one)")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the bearer token of --monitor (default: [$"+tokenVariable+"])")
	return cli.OneFormat(c)
}

// check refuses flags that would do nothing.
func (o *options) check(c *cobra.Command) error {
	if o.monitor == "" {
		if o.tokenFile != "" {
			return cli.Usagef("--token-file is for a running monitor: give its URL with --monitor")
		}
		return nil
	}
	names := cli.KubeFlags()
	aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, name, _, _ string) { names = append(names, name) })
	for _, name := range names {
		if c.Flags().Changed(name) {
			return cli.Usagef("--monitor views a monitor that has its own connection to NATS; leave --%s out", name)
		}
	}
	return nil
}

// run shows the view until it is ended.
func (o *options) run(ctx context.Context, app *cli.App, service string) error {
	switch {
	case !terminal(app.In) || !terminal(app.Out):
		return errNoTerminal
	case app.Verbose && terminal(app.Err):
		return cli.Usagef("--verbose would write its log over the view: send standard error to a file, as with 2>top.log")
	case o.monitor != "":
		return o.remote(ctx, app, service)
	}
	return app.WithConn(ctx, func(ctx context.Context, conn *aegis.Conn) error {
		return local(ctx, app, conn, service)
	})
}

// terminal tells whether a stream of the process is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// local shows a monitor in this process.
func local(ctx context.Context, app *cli.App, conn *aegis.Conn, service string) error {
	monitor, err := aegismonitor.New(conn, aegismonitor.WithLogger(app.Logger()))
	if err != nil {
		return err
	}
	defer monitor.Close()
	transport := feed.Serve(monitor)
	defer transport.Close()
	client, err := feed.New(transport.Address(), "", transport)
	if err != nil {
		return err
	}
	return show(ctx, app, client, service)
}

// remote shows a monitor that runs elsewhere.
func (o *options) remote(ctx context.Context, app *cli.App, service string) error {
	token, err := o.token()
	if err != nil {
		return err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: app.Timeout}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   app.Timeout,
		ResponseHeaderTimeout: app.Timeout,
	}
	defer transport.CloseIdleConnections()
	client, err := feed.New(o.monitor, token, transport)
	if err != nil {
		return cli.Usagef("--monitor: %s", err)
	}
	return show(ctx, app, client, service)
}

// token returns the token of the monitor, "" for none.
func (o *options) token() (string, error) {
	if o.tokenFile == "" {
		return strings.TrimSpace(os.Getenv(tokenVariable)), nil
	}
	data, err := os.ReadFile(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("--token-file: %s has no token: it is one line of text", o.tokenFile)
	}
	return token, nil
}

// show draws what a client reads until the user ends it.
func show(ctx context.Context, app *cli.App, client *feed.Client, service string) error {
	ctx, cancel := context.WithCancel(ctx)
	watches := &watches{ctx: ctx, client: client}
	defer watches.wait()
	defer cancel()
	m := newModel(watches.open, app.Style, service)
	defer m.close()
	program := tea.NewProgram(m, tea.WithInput(app.In), tea.WithOutput(app.Out),
		tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond))
	// A program that is given the context does not wait for its reader of the terminal when it ends.
	defer context.AfterFunc(ctx, program.Quit)()
	_, err := program.Run()
	switch {
	case ctx.Err() != nil: // a signal has ended it
		return nil
	case err != nil:
		return fmt.Errorf("draw the terminal: %w", err)
	case m.interrupted:
		return cli.Exit(exitInterrupted)
	}
	return m.failed
}

const (
	// framesPerSecond bounds how often the terminal is drawn: a document comes once a second.
	framesPerSecond = 20
	// exitInterrupted is what Ctrl-C ends other subcommands with.
	exitInterrupted = 130
)

// watches opens documents, and knows when all of them are closed again.
type watches struct {
	ctx    context.Context //nolint:containedctx // the life of the view
	client *feed.Client
	all    sync.WaitGroup
}

// open follows a document until the view ends or stop is called.
func (w *watches) open(path string) (<-chan feed.Event, func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	events := w.client.Watch(ctx, path)
	return events, func() {
		cancel()
		w.all.Go(func() {
			for range events { // until the watch has ended
			}
		})
	}
}

// wait waits until all watches have ended.
func (w *watches) wait() { w.all.Wait() }
