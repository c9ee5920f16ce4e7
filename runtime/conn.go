package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/lifetime"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// ErrConnClosed is wrapped by the errors of calls, and of anything else that needs a
// connection, when the connection is closed.
var ErrConnClosed = bus.ErrClosed

// Conn is a NATS connection that clients and servers share, with everything that they
// have in common. It is safe for concurrent use, and one per process is enough.
type Conn struct {
	nc       *nats.Conn
	errors   *bus.Errors // nil for a connection that NewConn was given
	ns       string      // the namespace
	subjects wire.Subjects
	logger   *slog.Logger
	standing standing
	replicas int // see WithReplicas

	ctx     context.Context    //nolint:containedctx // the context of life, for all that wait
	life    *lifetime.Lifetime // it ends with Close, or when the NATS connection is closed
	closing sync.Once          // the first Close does the work

	bus       *bus.Bus
	void      *bus.Void
	streams   rpcstream.Hub // of the clients
	streaming rpcstream.Connection
	stores    *stores.Stores
	async     *stores.Async
	leaders   *leaderview.Views
	directory *directory.Directory
	patterns  *patterns.Watch
	shared    sharedValues // of this connection's users, see perConn
}

// Connect connects to NATS: url is one or several comma-separated server URLs,
// and "" is nats://127.0.0.1:4222. It returns an error if no server answers
// before ctx ends or nats.go's own timeout passes (2 s a server).
//
// Unless WithNATSOptions says otherwise the connection reconnects for ever, 20
// to 120 ms after each failure, also while NATS refuses its user
// (nats.IgnoreAuthErrorAbort), and moves on to another server within 10 s when it hears
// nothing any more (nats.PingInterval 1 s, nats.MaxPingsOutstanding 5,
// nats.FlusherTimeout 4 s, nats.ReconnectOnFlusherError). Asynchronous errors are
// logged, and nats.go buffers no message while NATS is away
// (nats.ReconnectBufSize(-1)): calls wait for the connection, and replies are kept for
// it. The name of the connection in NATS (nats.Name) says instance, program and build:
// see WithInstance and WithBuild. Close closes the connection. If it is closed in another way, for good, the log says
// so.
//
// The error wraps ErrInvalidOption if an option is invalid, and is that of ctx if ctx
// ends first.
func Connect(ctx context.Context, url string, opts ...ConnOption) (*Conn, error) {
	if url == "" {
		url = nats.DefaultURL
	}
	cfg, err := newConnConfig(opts)
	if err != nil {
		return nil, err
	}
	natsOpts, err := dial.Options(url, append([]nats.Option{nats.Name(cfg.title())}, cfg.nats...))
	if err != nil {
		return nil, fmt.Errorf("%w: NATS option: %w", ErrInvalidOption, err)
	}
	// Asynchronous errors are seen here, whether or not the user sees them too.
	cfg.errors = bus.NewErrors(cfg.logger, natsOpts.AsyncErrorCB)
	natsOpts.AsyncErrorCB = cfg.errors.Happened
	nc, err := dial.Connect(ctx, url, natsOpts)
	if err != nil {
		return nil, err
	}
	conn, err := newConn(nc, cfg)
	if err != nil {
		nc.Close()
		return nil, err
	}
	cfg.errors.Hear(conn.hear)
	return conn, nil
}

// NewConn uses a NATS connection that exists already. It sets no callback on nc
// and never closes it: Close leaves it open. Make nc with nats.MaxReconnects(-1)
// and nats.IgnoreAuthErrorAbort(), as services are expected to come back by
// themselves, and with short pings, see Connect; a missing option is a warning in
// the log. Use nats.ReconnectBufSize(-1) as well, or a request of the very moment
// in which NATS goes away may be sent after the reconnect, and run when its caller
// has gone.
//
// Do not drain or close nc under a server: nats.go then refuses the replies of
// handlers that still run, and their callers wait for their deadlines. End the context
// of the server's Run, wait until Run has returned, and only then drain or close nc.
//
// The error wraps ErrInvalidOption if an option is invalid, and ErrConnClosed if nc is
// closed.
func NewConn(nc *nats.Conn, opts ...ConnOption) (*Conn, error) {
	cfg, err := newConnConfig(opts)
	if err != nil {
		return nil, err
	}
	switch {
	case len(cfg.nats) > 0:
		return nil, invalidOption("WithNATSOptions has no effect on a connection that exists; use Connect")
	case nc == nil:
		return nil, errors.New("aegis: the NATS connection is nil; pass the one that nats.Connect returned, or use aegis.Connect")
	case nc.IsClosed():
		return nil, ErrConnClosed
	}
	dial.Warn(cfg.logger, &nc.Opts)
	return newConn(nc, cfg)
}

func newConn(nc *nats.Conn, cfg *connConfig) (*Conn, error) {
	if nc.IsConnected() && !nc.HeadersSupported() {
		return nil, fmt.Errorf("aegis: the NATS server %s does not support headers; use nats-server 2.2 or later", nc.ConnectedServerVersion())
	}
	c := &Conn{
		nc:       nc,
		errors:   cfg.errors,
		ns:       cfg.namespace,
		subjects: wire.NewSubjects(cfg.namespace),
		logger:   cfg.logger,
		standing: cfg.standing,
		replicas: cfg.replicas,
		life:     lifetime.New(),
	}
	c.ctx = c.life.Context()
	var err error
	if c.bus, err = bus.New(nc, &c.streams, cfg.errors != nil); err != nil {
		return nil, err
	}
	if c.stores, err = stores.New(c.bus, cfg.jetStream.domain, cfg.jetStream.prefix); err != nil {
		c.bus.Close()
		return nil, fmt.Errorf("aegis: %w", err)
	}
	c.stores.Background(c.startWithin)
	c.directory = directory.New(directory.Options{NATS: nc, Link: c.bus.Link, JetStream: c.stores, Namespace: cfg.namespace, Logger: cfg.logger})
	c.streaming = rpcstream.Connection{
		Bus: c.bus, Start: c.start, Done: c.ctx.Done(),
		Assembly: &rpcstream.Assembly{Limit: cfg.assembly}, Transit: new(rpcstream.Transit),
	}
	c.streaming.Transit.Init(c.ctx, nc, c.start)
	c.streams.Init(c.streaming, c.bus.Prefix(), false)
	c.void = bus.NewVoid(c.bus, c.subjects, c.streaming.Transit, cfg.logger)
	c.async = stores.NewAsync(c.bus, c.startWithin)
	c.leaders = leaderview.New(leaderview.Options{Bus: c.bus, Subjects: c.subjects, Start: c.startWithin, FailStreams: c.streams.FailTargets})
	c.patterns = patterns.New(patterns.Options{
		NATS: nc, Stores: c.stores, Bucket: wire.RegistryBucket(c.ns), Start: c.startWithin, Logger: c.logger,
	})
	c.keepDescriptors()
	outages := bus.NewOutages(c.bus, outageLogger(nc, cfg.logger))
	c.start(func() { c.watchLink(outages) })
	c.startWithin(c.void.Run)
	return c, nil
}

// NATS returns the NATS connection.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Close ends all waiting calls with CodeCanceled and, if Connect made the
// connection, sends the messages that are still buffered and closes it. Stop servers
// first: their Run returns ErrConnClosed when the connection goes away under them. Close
// returns ctx's error if ctx ends before the NATS server has all messages; the connection
// is closed all the same. Further calls of Close do nothing.
func (c *Conn) Close(ctx context.Context) error {
	var err error
	c.closing.Do(func() { err = c.close(ctx) })
	return err
}

func (c *Conn) close(ctx context.Context) error {
	// Nothing new starts, and the goroutine that watches the link ends all that waits.
	c.life.End()
	// The directory has goroutines of its own, and ends the watching of instances.
	c.directory.Close()
	// After that all calls and streams that waited have an error.
	c.life.Wait()
	// So the messages that NATS may still send have no reader any more: replies,
	// announcements of leaders, acknowledgements of events.
	c.bus.Close()
	c.leaders.Close()
	c.async.Close()
	if c.errors == nil {
		return nil // the connection of the user's own stays open
	}
	// Replies and events that were published before are still in nats.go's buffer.
	var err error
	if c.nc.IsConnected() {
		ctx, cancel := withFlushTimeout(ctx)
		defer cancel()
		err = c.nc.FlushWithContext(ctx)
	}
	c.nc.Close()
	return err
}

// watchLink follows the NATS connection until it is closed, by Close or in another
// way; a process without a server learns of the latter from the log alone.
func (c *Conn) watchLink(outages *bus.Outages) {
	defer outages.Stop()
	returns := c.bus.Link.Returns()
	c.bus.Link.Watch(c.ctx, func(s link.State) {
		returned := s.Returns != returns
		returns = s.Returns
		outages.Changed(s.Up, returned)
		if returned {
			c.cameUp()
		}
	})
	if c.ctx.Err() == nil {
		c.logger.Error("aegis: the connection to NATS is closed for good, and nothing works over it any more; "+
			"connect anew, or end the process", "err", c.nc.LastError())
	}
	c.life.End()
	c.bus.Fail(func(string) bool { return true }, bus.Closed())
	c.streams.Fail(bus.Closed())
}

// cameUp is called each time that the connection has come back.
func (c *Conn) cameUp() {
	if c.errors != nil {
		c.errors.Accepted()
	}
	c.streaming.Transit.Reconnected()
	c.bus.Outbox.Flush()
	c.leaders.Reconnected()
	if calls := c.bus.Interrupted(); len(calls) > 0 {
		c.startWithin(func(ctx context.Context) { c.bus.Resend(ctx, calls) })
	}
}

// hear takes an asynchronous error of the connection, and reports whether another part
// of the program logs it.
func (c *Conn) hear(err error) (told bool) {
	return c.permissionDenied(err) || c.subscriptionRefused(err) || c.patterns.Expected(err)
}

// start runs f in a goroutine that Close waits for; f must return when the
// connection's context ends. It reports whether the connection is still open.
func (c *Conn) start(f func()) bool { return c.life.Start(f) }

// startWithin is start for a function that takes the connection's context.
func (c *Conn) startWithin(f func(ctx context.Context)) bool { return c.life.StartWithin(f) }

func (c *Conn) closed() bool {
	return c.ctx.Err() != nil || c.nc.IsClosed()
}

// flush waits until the NATS server has read everything sent so far; if the connection
// breaks meanwhile, until the server has read the subscriptions that nats.go sends again.
func (c *Conn) flush(ctx context.Context) error {
	ctx, cancel := withFlushTimeout(ctx)
	defer cancel()
	for {
		err := c.nc.FlushWithContext(ctx)
		// nats.go also says "closed" of a connection that is coming back.
		if !errors.Is(err, nats.ErrConnectionClosed) || c.nc.IsClosed() {
			return err
		}
	}
}

// withFlushTimeout gives ctx a deadline if it has none: nats.go insists on one.
func withFlushTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, 10*time.Second)
}
