package cli

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// linkFlags are the flags that say where NATS is and who the user is there.
type linkFlags struct {
	server    string
	namespace string
}

func (l *linkFlags) define(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVarP(&l.server, "server", "s", "", "URL of NATS, several with commas (default nats://127.0.0.1:4222)")
	f.StringVar(&l.namespace, "namespace", "", "namespace of the services (default aegis)")
}

// Connect connects to NATS as the flags and the environment say. The caller closes the
// connection.
func (a *App) Connect(ctx context.Context) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	url := a.link.server
	if url == "" {
		url = nats.DefaultURL
	}
	opts := []aegis.ConnOption{aegis.WithLogger(a.Logger()), aegis.WithNATSOptions(nats.Name("aegis command"))}
	if a.link.namespace != "" {
		opts = append(opts, aegis.WithNamespace(a.link.namespace))
	}
	return aegis.Connect(ctx, url, opts...)
}

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
