// Package dial connects to NATS with options that suit services: the connection comes
// back by itself, and soon notices when its way to NATS swallows everything.
package dial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	neturl "net/url"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// How soon a connection notices that the way to its NATS server swallows everything,
// and moves on to another server. nats.go sends a ping every second and gives up at
// the sixth tick that finds five pings unanswered; a writer that has filled the socket
// waits for writeTimeout at most, with the lock that the pings need. Both together are
// 10 s. A shorter time would give up servers that only pause.
const (
	pingInterval = time.Second
	maxPingsOut  = 5
	writeTimeout = 4 * time.Second
	// longestSilence is the silence that a connection of the user's own may have
	// without a warning.
	longestSilence = 30 * time.Second
)

// Options returns the options for a connection to the servers of a URL: the defaults
// of this package, changed by the options of the user, whose error it returns.
func Options(url string, users []nats.Option) (*nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Servers = splitURLs(url)
	o.MaxReconnect = -1
	o.IgnoreAuthErrorAbort = true
	o.PingInterval, o.MaxPingsOut = pingInterval, maxPingsOut
	// A write that times out has lost its data, so the connection is made anew.
	o.FlusherTimeout, o.ReconnectOnFlusherError = writeTimeout, true
	// nats.go refuses to publish while NATS is away. A request that nats.go sent
	// after the reconnect would not tell its handler how long it had waited.
	o.ReconnectBufSize = -1
	o.CustomReconnectDelayCB = reconnectDelay
	o.AsyncErrorCB = nil
	for _, opt := range users {
		if opt == nil {
			continue
		}
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	return &o, nil
}

// reconnectDelay lets 20 to 120 ms pass between attempts: many clients of a
// restarted server must not come at the same instant.
func reconnectDelay(attempts int) time.Duration {
	most := min(20*time.Millisecond<<min(attempts, 4), 100*time.Millisecond)
	return 20*time.Millisecond + rand.N(most)
}

// Warn logs which options of a connection of the user's own keep it from coming back
// by itself, or from noticing soon enough that it has to.
func Warn(logger *slog.Logger, o *nats.Options) {
	if o.MaxReconnect >= 0 {
		logger.Warn("aegis: this NATS connection gives up reconnecting after a number of attempts; use nats.MaxReconnects(-1)",
			"max_reconnects", o.MaxReconnect)
	}
	if !o.IgnoreAuthErrorAbort {
		logger.Warn("aegis: this NATS connection is closed for good when a NATS server has refused its user twice, " +
			"as happens while users change; use nats.IgnoreAuthErrorAbort()")
	}
	if silence := o.PingInterval * time.Duration(o.MaxPingsOut+1); o.PingInterval <= 0 || silence > longestSilence {
		logger.Warn("aegis: this NATS connection takes long to notice that its way to NATS swallows everything; "+
			"use nats.PingInterval(time.Second) and nats.MaxPingsOutstanding(5)",
			"ping_interval", o.PingInterval, "max_pings_outstanding", o.MaxPingsOut)
	}
}

// Connect connects with the options that Options returned for the URL. Its error says
// why there is no connection, without the passwords of the URL; it is that of ctx if
// ctx ends before.
func Connect(ctx context.Context, url string, o *nats.Options) (*nats.Conn, error) {
	nc, err := connect(ctx, o)
	if err == nil {
		return nc, nil
	}
	_, badURL := errors.AsType[*neturl.Error](err)
	switch {
	case badURL: // its text quotes the URL, or parts of a password in it
		err = errors.New("not a valid URL")
	case errors.Is(err, nats.ErrNoServers):
		err = fmt.Errorf("no NATS server listens there (connection refused); start one, or give the URL of one: %w", err)
	}
	return nil, fmt.Errorf("aegis: connect to NATS at %s: %w", Redact(url), err)
}

func connect(ctx context.Context, o *nats.Options) (*nats.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // else a server that refuses at once might be told instead
	}
	type result struct {
		nc  *nats.Conn
		err error
	}
	connected := make(chan result, 1)
	go func() {
		nc, err := o.Connect()
		connected <- result{nc, err}
	}()
	select {
	case r := <-connected:
		return r.nc, r.err
	case <-ctx.Done():
		go func() { // nats.go cannot be interrupted: a connection that it still makes is closed
			if r := <-connected; r.nc != nil {
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

// Redact keeps passwords and tokens of a URL out of errors and logs.
func Redact(url string) string { return credentials.ReplaceAllString(url, "$1***@") }
