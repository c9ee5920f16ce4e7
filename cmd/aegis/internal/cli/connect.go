package cli

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// linkFlag is the annotation of flags that are about the connection, and of commands that
// make none.
const linkFlag = "aegis_link"

// bindLink defines the flags that say where NATS is and who the user is there.
func (a *App) bindLink(c *cobra.Command) {
	f := c.PersistentFlags()
	aegisenv.BindFlags(&a.settings, func(value *string, name, variable, usage string) {
		short := ""
		if name == "server" {
			short = "s"
		}
		f.StringVarP(value, name, short, "", usage+" [$"+variable+"]")
		_ = f.SetAnnotation(name, linkFlag, nil) // fails only for a flag that is not defined
	})
	a.settings.SelectedContext = true
}

// Offline marks a command that does not connect to the NATS of the flags, so that these
// are not in its help, and are refused.
func Offline(c *cobra.Command) *cobra.Command {
	if c.Annotations == nil {
		c.Annotations = make(map[string]string)
	}
	c.Annotations[linkFlag] = "none"
	return c
}

// offline tells whether Offline has marked a command or one above it.
func offline(c *cobra.Command) bool {
	for ; c != nil; c = c.Parent() {
		if c.Annotations[linkFlag] != "" {
			return true
		}
	}
	return false
}

// refuseLinkFlags returns an error if a command that makes no connection is told where to
// connect to.
func refuseLinkFlags(c *cobra.Command) error {
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if _, link := f.Annotations[linkFlag]; link && err == nil && offline(c) {
			err = Usagef("%s connects to no NATS that is told by flags; leave --%s out", c.CommandPath(), f.Name)
		}
	})
	return err
}

// Connect connects to NATS as the flags and the environment say. The caller closes the
// connection.
func (a *App) Connect(ctx context.Context, opts ...aegis.ConnOption) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	return a.settings.Connect(ctx, append([]aegis.ConnOption{aegis.WithLogger(a.Logger())}, opts...)...)
}

// ConnectNATS is Connect for a connection without Aegis.
func (a *App) ConnectNATS(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	return a.settings.ConnectNATS(ctx, opts...)
}

// Settings returns the settings of the connection, with the values of the flags alone.
func (a *App) Settings() aegisenv.Settings { return a.settings }

// WithConn connects to NATS, and closes the connection when use has returned.
func (a *App) WithConn(ctx context.Context, use func(context.Context, *aegis.Conn) error) error {
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Timeout)
		defer cancel()
		_ = conn.Close(ctx) // use has had its answers
	}()
	return use(ctx, conn)
}

// Logger returns the logger of the connection: silent unless --verbose is given, as a log
// would disturb the output.
func (a *App) Logger() *slog.Logger {
	if !a.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
