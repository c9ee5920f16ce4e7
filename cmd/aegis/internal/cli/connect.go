package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegiskube"
)

// bindLink defines the flags that say where NATS is and who the user is there.
func (a *App) bindLink(c *cobra.Command) {
	f := c.PersistentFlags()
	aegisenv.BindFlags(&a.settings, func(value *string, name, variable, usage string) {
		short := ""
		if name == "server" {
			short = "s"
		}
		f.StringVarP(value, name, short, "", usage+" [$"+variable+"]")
		belongs(f, name, forLink)
	})
	a.settings.SelectedContext = true
	a.bindKube(c)
}

// Connect connects to NATS as the flags and the environment say. The caller closes the
// connection.
func (a *App) Connect(ctx context.Context, opts ...aegis.ConnOption) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	a.Logger().Info("aegis: connecting to NATS")
	settings, way, err := a.way(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := settings.Connect(ctx, append([]aegis.ConnOption{aegis.WithLogger(a.Logger()), aegis.WithNATSOptions(way...)}, opts...)...)
	if err == nil {
		a.Logger().Info("aegis: connected", "nats", conn.NATS().ConnectedUrlRedacted())
	}
	return conn, a.explainWay(err)
}

// ConnectNATS is Connect for a connection without Aegis.
func (a *App) ConnectNATS(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	a.Logger().Info("aegis: connecting to NATS")
	settings, way, err := a.way(ctx)
	if err != nil {
		return nil, err
	}
	nc, err := settings.ConnectNATS(ctx, append(way, opts...)...)
	if err == nil {
		a.Logger().Info("aegis: connected", "nats", nc.ConnectedUrlRedacted())
	}
	return nc, a.explainWay(err)
}

// Settings returns the settings of the connection, with the values of the flags alone, and
// without the way into a cluster.
func (a *App) Settings() aegisenv.Settings {
	s := a.settings
	if a.kube.on {
		s.SelectedContext = false // it is of another NATS
	}
	return s
}

// Elsewhere tells whether the flags name a NATS.
func (a *App) Elsewhere() bool { return a.kube.on || a.settings.URL != "" || a.settings.Context != "" }

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

// ConnectLater is Connect for a command that has something to do without NATS too. If NATS
// cannot be reached now, the connection is made when it can be, and noted is called with the
// reason. Settings that are wrong, and a user that NATS refuses, are errors as ever, and so is
// a cluster without a service of NATS, or that cannot be asked for it: NATS comes later, as
// its pods do.
func (a *App) ConnectLater(ctx context.Context, noted func(error), opts ...aegis.ConnOption) (*aegis.Conn, error) {
	asked, cancel := context.WithTimeout(ctx, a.Timeout)
	settings, way, err := a.way(asked)
	cancel()
	if err != nil {
		return nil, err
	}
	conn, err := a.Connect(ctx, opts...)
	if err == nil || ctx.Err() != nil || !unreachable(err) {
		return conn, err
	}
	noted(err)
	opts = append([]aegis.ConnOption{
		aegis.WithLogger(a.Logger()), aegis.WithNATSOptions(append(way, nats.RetryOnFailedConnect(true))...),
	}, opts...)
	conn, err = settings.Connect(ctx, opts...)
	return conn, a.explainWay(err)
}

// unreachable tells whether no NATS server has answered.
func unreachable(err error) bool {
	op, network := errors.AsType[*net.OpError](err)
	return network && (op.Op == "dial" || op.Timeout()) ||
		errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, aegiskube.ErrNoService) // no pod of the service is ready
}
