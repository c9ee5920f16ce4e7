// Package cli is the frame of the command aegis: global flags, the connection to NATS,
// output, colours, progress, errors and exit codes. Each subcommand is a package beside
// this one, with a function that takes the App and returns a cobra command.
package cli

import (
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// The formats of --output.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// App is what all subcommands share: the streams of the process and the values of the
// global flags. Its fields are set before a subcommand runs and not changed then.
type App struct {
	In       io.Reader
	Out, Err io.Writer

	// Timeout bounds one question to NATS or to a service.
	Timeout time.Duration
	// Verbose shows the log of the connection.
	Verbose bool
	// Style colours text where a person reads it, and nowhere else.
	Style Style

	output   string
	noColor  bool
	settings aegisenv.Settings
	kube     kube

	// width is that of the terminal that Out is, 0 if Out is none; live tells the same of Err.
	width int
	live  bool
}

// newApp returns an App on the standard streams of the process.
func newApp() *App {
	a := &App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, live: term.IsTerminal(int(os.Stderr.Fd()))}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		a.width = 80
		if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
			a.width = w
		}
	}
	return a
}

// JSON tells whether the output is to be JSON.
func (a *App) JSON() bool { return a.output == formatJSON }

// Terminal tells whether a person at a terminal reads the output, and how wide it is.
func (a *App) Terminal() (width int, ok bool) { return a.width, a.width > 0 }

// Root returns the command aegis without subcommands.
func (a *App) Root() *cobra.Command {
	c := &cobra.Command{
		Use:   "aegis",
		Short: "See, call, load and run services on NATS",
		Long: "aegis sees, calls, loads and runs services that Aegis generates from .proto files.\n\n" +
			"It finds NATS by its flags, by the environment (NATS_URL, NATS_CREDS and so on), or by\n" +
			"a context of the nats command; without these it takes nats://127.0.0.1:4222.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 used wrongly, 130 ended with Ctrl-C.",
		Example: "  aegis init shop          # a project with a service\n" +
			"  aegis ls                 # the services that run\n" +
			"  aegis call hello.v1.HelloService/Hello '{\"name\": \"NATS\"}'",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return a.settle(c) },
	}
	f := c.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", formatTable, "format of the output: table or json")
	f.BoolVar(&a.noColor, "no-color", false, "never colour the output, as if NO_COLOR were set (default: colours on a terminal)")
	f.DurationVar(&a.Timeout, "timeout", 5*time.Second, "how long one question to NATS or to a service may take")
	f.BoolVarP(&a.Verbose, "verbose", "v", false, "show the log of the connection on standard error")
	belongs(f, "output", forOutput)
	belongs(f, "timeout", forLink)
	belongs(f, "verbose", forLink)
	a.bindLink(c)
	return c
}

// settle checks the global flags and makes up the values that follow from them.
func (a *App) settle(c *cobra.Command) error {
	if a.output != formatTable && a.output != formatJSON {
		return Usagef("--output %s: use %s or %s", a.output, formatTable, formatJSON)
	}
	if err := refuse(c); err != nil {
		return err
	}
	if err := a.checkKube(c.Flags()); err != nil {
		return err
	}
	if a.Timeout <= 0 {
		return Usagef("--timeout %s: use more than 0", a.Timeout)
	}
	a.Style = Style{On: a.width > 0 && !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	return nil
}
