package monitor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// closeTimeout bounds the wait for the connection to be closed.
const closeTimeout = time.Second

// started is what is printed as JSON when the monitor serves.
type started struct {
	URL       string `json:"url"`
	Changes   bool   `json:"changes"`
	Calls     bool   `json:"calls"`
	Payloads  bool   `json:"payloads"`
	Connected bool   `json:"connected"`      // to NATS
	KEDA      string `json:"keda,omitempty"` // the address for KEDA
}

// run serves the monitor until ctx ends.
func run(ctx context.Context, app *cli.App, o options) error {
	if err := o.access.read(app.Notef); err != nil {
		return err
	}
	logger := newLogger(app)
	var certificate *monitorhttp.Certificate
	if o.tlsCert != "" {
		var err error
		if certificate, err = monitorhttp.LoadCertificate(o.tlsCert, o.tlsKey, logger); err != nil {
			return err
		}
	}
	l, err := monitorhttp.Listen(o.listen)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // the server has closed it, if there was one
	if err := o.judge(l); err != nil {
		return err
	}
	scaler, err := o.keda.open(certificate, logger)
	if err != nil {
		return err
	}
	defer scaler.close()
	app.LogWay(logger)
	conn, err := app.ConnectLater(ctx, func(err error) {
		app.Notef("The monitor starts without NATS, and connects when it comes: %v", err)
	}, aegis.WithLogger(logger))
	if err != nil {
		return err
	}
	m, err := aegismonitor.New(conn, append(o.access.options(), o.rights(logger)...)...)
	if err != nil {
		return errors.Join(err, disconnect(ctx, conn))
	}
	server := monitorhttp.New(l, monitorhttp.Options{Monitor: m, Path: o.path, Certificate: certificate, Logger: logger})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	scaling, err := scaler.start(ctx, conn, cancel)
	if err != nil {
		cancel(err)
	} else if err := o.tell(app, server.URL(), scaler.address(), conn.NATS().IsConnected()); err != nil {
		cancel(err) // nobody reads the output, and so nobody knows the address
	}
	err = server.Run(ctx)
	cancel(err) // for the scaler
	scaling.Wait()
	if err != nil {
		return errors.Join(err, disconnect(ctx, conn))
	}
	_ = disconnect(ctx, conn) // it was only read
	return context.Cause(ctx)
}

// rights returns the options of the monitor that say what its users may do.
func (o *options) rights(logger *slog.Logger) []aegismonitor.Option {
	opts := []aegismonitor.Option{aegismonitor.WithLogger(logger)}
	if o.allowChanges {
		opts = append(opts, aegismonitor.WithChanges())
	}
	if o.allowCalls {
		opts = append(opts, aegismonitor.WithCalls())
	}
	if o.showPayloads {
		opts = append(opts, aegismonitor.WithPayloads())
	}
	return opts
}

// tell prints where the monitor is, and where KEDA reaches it.
func (o *options) tell(app *cli.App, url, keda string, connected bool) error {
	if app.JSON() {
		return app.PrintLine(started{
			URL: url, Changes: o.allowChanges, Calls: o.allowCalls, Payloads: o.showPayloads, Connected: connected, KEDA: keda,
		})
	}
	if err := app.Printf("The monitor is at %s until Ctrl-C.\n", url); err != nil || keda == "" {
		return err
	}
	return app.Printf("KEDA reaches it at %s.\n", keda)
}

// newLogger returns a logger to standard error. The monitor logs what users do, which has to be
// seen without --verbose too.
func newLogger(app *cli.App) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if app.Verbose {
		o.Level = slog.LevelDebug
	}
	if app.JSON() {
		return slog.New(slog.NewJSONHandler(app.Err, o))
	}
	return slog.New(slog.NewTextHandler(app.Err, o))
}

func disconnect(ctx context.Context, conn *aegis.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return conn.Close(ctx)
}
