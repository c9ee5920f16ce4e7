package aegis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	neturl "net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// ErrConnClosed is wrapped by the errors of everything that needs a connection
// which has been closed.
var ErrConnClosed = bus.ErrClosed

// Conn is a NATS connection with what all clients and servers on it share. It
// is safe for concurrent use, and one per process is enough.
type Conn struct {
	nc        *nats.Conn
	owned     bool
	errors    *asyncErrors // nil for a connection that Connect has not made
	ns        string
	subjects  wire.Subjects
	logger    *slog.Logger
	bus       *bus.Bus
	streams   rpcstream.Hub // of the clients
	assembly  rpcstream.Assembly
	transit   rpcstream.Transit
	outages   outages
	void      *bus.Void
	leaders   *leaderview.Views
	directory *directory.Directory
	selectors selectors
	stores    *stores.Stores
	commands  commandClients
	async     *stores.Async
	specs     serviceSpecs
	patterns  *patterns.Watch
	shared    sharedValues // of this connection's users, see perConn

	mu        sync.Mutex // between start and Close
	closeOnce sync.Once
	ctx       context.Context //nolint:containedctx // the connection's life: ends with Close, or when NATS's own connection is closed
	cancel    context.CancelFunc
	watchers  sync.WaitGroup // the goroutines of this connection
}

// Connect connects to NATS: url is one or several comma-separated server URLs,
// and "" is nats://127.0.0.1:4222. It returns an error if no server answers
// before ctx ends or nats.go's own timeout passes (2 s a server).
//
// Unless WithNATSOptions says otherwise the connection reconnects for ever, 20
// to 120 ms after each failure, also while NATS refuses its user
// (nats.IgnoreAuthErrorAbort), and moves on to another server within 10 s of
// hearing nothing any more (nats.PingInterval 1 s, nats.MaxPingsOutstanding 5,
// nats.FlusherTimeout 4 s, nats.ReconnectOnFlusherError). Asynchronous errors are
// logged, and nats.go keeps nothing that is published while NATS is away
// (nats.ReconnectBufSize(-1)): calls wait for the connection, replies are kept for
// it. Close closes it. A connection that is closed in another way, for good, is an
// error in the log.
func Connect(ctx context.Context, url string, opts ...ConnOption) (*Conn, error) {
	if url == "" {
		url = nats.DefaultURL
	}
	cfg, err := newConnConfig(opts)
	if err != nil {
		return nil, err
	}
	errs := &asyncErrors{logger: cfg.logger}
	natsOpts, err := connectOptions(url, cfg, errs)
	if err != nil {
		return nil, err
	}
	nc, err := dial(ctx, natsOpts)
	if err != nil {
		return nil, connectError(url, err)
	}
	cfg.owned, cfg.errors = true, errs
	conn, err := newConn(nc, cfg)
	if err != nil {
		nc.Close()
		return nil, err
	}
	errs.conn.Store(conn)
	return conn, nil
}

// NewConn uses a NATS connection that exists already. It sets no callback on nc
// and never closes it: Close leaves it open. Make it with nats.MaxReconnects(-1)
// and nats.IgnoreAuthErrorAbort(), as services are expected to come back by
// themselves, and with short pings, see Connect; what is missing is a warning in
// the log. Use nats.ReconnectBufSize(-1) as well, or a request of the very moment
// in which NATS goes away may be sent after the reconnect and run when its caller
// has gone.
//
// Do not drain or close nc under a server: nats.go then refuses the replies of
// handlers that still run, and their callers wait for their deadlines. End the context
// of the server's Run, wait until Run has returned, and then do so.
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
	warnOfOptions(cfg.logger, &nc.Opts)
	return newConn(nc, cfg)
}

func newConn(nc *nats.Conn, cfg *connConfig) (*Conn, error) {
	if nc.IsConnected() && !nc.HeadersSupported() {
		return nil, fmt.Errorf("aegis: the NATS server %s does not support headers; use nats-server 2.2 or later", nc.ConnectedServerVersion())
	}
	c := &Conn{
		nc:       nc,
		owned:    cfg.owned,
		errors:   cfg.errors,
		ns:       cfg.namespace,
		subjects: wire.NewSubjects(cfg.namespace),
		logger:   cfg.logger,
	}
	var err error
	if c.bus, err = bus.New(nc, &c.streams, cfg.errors != nil); err != nil {
		return nil, err
	}
	if c.stores, err = stores.New(c.bus, cfg.jetStream.domain, cfg.jetStream.prefix); err != nil {
		c.bus.Close()
		return nil, fmt.Errorf("aegis: %w", err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.stores.Background(c.startWithin)
	c.outages.init(c)
	c.directory = directory.New(directory.Options{NATS: nc, Link: c.bus.Link, JetStream: c.stores, Namespace: cfg.namespace, Logger: cfg.logger})
	c.assembly.Limit = cfg.assembly
	c.transit.Init(c.ctx, nc, c.start)
	c.streams.Init(c.streamConnection(), c.bus.Prefix(), false)
	c.void = bus.NewVoid(c.bus, c.subjects, &c.transit, cfg.logger)
	c.async = stores.NewAsync(c.bus, c.startWithin)
	c.leaders = leaderview.New(leaderview.Options{Bus: c.bus, Subjects: c.subjects, Start: c.startWithin, FailStreams: c.streams.FailTargets})
	c.patterns = patterns.New(patterns.Options{
		NATS: nc, Stores: c.stores, Bucket: wire.RegistryBucket(c.ns), Start: c.startWithin, Logger: c.logger,
	})
	c.watchers.Go(c.watchLink)
	c.watchers.Go(func() { c.void.Run(c.ctx) })
	return c, nil
}

// NATS returns the NATS connection.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Close ends all waiting calls with CodeCanceled and, if Connect made the
// connection, sends what is buffered and closes it. Stop servers first: their
// Run returns ErrConnClosed when the connection goes away under them. It returns
// ctx's error if that ends before the NATS server has everything; the connection
// is closed all the same. Further calls of Close do nothing.
func (c *Conn) Close(ctx context.Context) error {
	var err error
	c.closeOnce.Do(func() {
		c.mu.Lock()
		c.cancel()
		c.mu.Unlock()
		c.directory.Close()
		c.watchers.Wait()
		c.outages.Stop()
		c.bus.Close()
		c.leaders.Close()
		c.async.Close()
		if c.owned {
			if c.nc.IsConnected() {
				ctx, cancel := withFlushTimeout(ctx)
				defer cancel()
				err = c.nc.FlushWithContext(ctx)
			}
			c.nc.Close()
		}
	})
	return err
}

// start runs f in a goroutine that Close waits for; f must return when the
// connection's context ends. It reports whether the connection is still open.
func (c *Conn) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.watchers.Go(f)
	return true
}

// startWithin is start for a function that takes the connection's context.
func (c *Conn) startWithin(f func(ctx context.Context)) bool { return c.start(func() { f(c.ctx) }) }

func (c *Conn) closed() bool {
	return c.ctx.Err() != nil || c.nc.IsClosed()
}

// flush waits until the NATS server has read everything sent so far, or if the
// connection breaks meanwhile, all subscriptions that are sent again.
func (c *Conn) flush(ctx context.Context) error {
	ctx, cancel := withFlushTimeout(ctx)
	defer cancel()
	for {
		err := c.nc.FlushWithContext(ctx)
		// nats.go calls a connection closed that is coming back.
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

func (c *Conn) streamConnection() rpcstream.Connection {
	return rpcstream.Connection{Bus: c.bus, Start: c.start, Done: c.ctx.Done(), Assembly: &c.assembly, Transit: &c.transit}
}

func (c *Conn) failWaiting() {
	c.bus.Fail(func(string) bool { return true }, bus.Closed())
	c.streams.Fail(bus.Closed())
}

// connectError says why there is no connection.
func connectError(url string, err error) error {
	_, badURL := errors.AsType[*neturl.Error](err)
	switch {
	case badURL: // it quotes the URL, or parts of a password in it
		err = errors.New("not a valid URL")
	case errors.Is(err, nats.ErrNoServers):
		err = fmt.Errorf("no NATS server listens there (connection refused); start one, or give the URL of one: %w", err)
	}
	return fmt.Errorf("aegis: connect to NATS at %s: %w", redact(url), err)
}

func dial(ctx context.Context, o *nats.Options) (*nats.Conn, error) {
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := o.Connect()
		done <- result{nc, err}
	}()
	select {
	case r := <-done:
		return r.nc, r.err
	case <-ctx.Done():
		go func() { // nats.go cannot be interrupted; close what it may still make
			if r := <-done; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func splitURLs(url string) []string {
	urls := strings.Split(url, ",")
	for i := range urls {
		urls[i] = strings.TrimSpace(urls[i])
	}
	return urls
}

var credentials = regexp.MustCompile(`([a-z]+://)?[^\s,]*@`)

// redact keeps passwords and tokens out of errors.
func redact(url string) string { return credentials.ReplaceAllString(url, "$1***@") }
