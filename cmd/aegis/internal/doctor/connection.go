package doctor

import (
	"context"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// connection is what is known of the connection to NATS.
type connection struct {
	url, server, version, cluster string
	rtt                           time.Duration
	tls                           bool
	echo                          bool // a message of this connection comes back to it
	echoErr                       error
	maxPayload                    int64
}

// The bounds beyond which a connection is worth a warning.
const (
	slowRTT         = 100 * time.Millisecond
	smallMaxPayload = 64 << 10 // a record of the registry may have as much
)

func checkConnection() Check {
	return Check{
		Name: "connection", Looks: "the NATS server of the connection, its round trip time, TLS, and whether messages come back",
		Reads: "the connection; a message to its own inbox",
		IDs:   words("up lost slow plain echo max_payload"),
		run: func(ctx context.Context, l *look) []Finding {
			c, err := readConnection(ctx, l)
			if err != nil {
				return []Finding{failure("connection.lost", "", "NATS does not answer: %v", err).
					so("see whether the NATS server runs and can be reached: nats server check connection")}
			}
			return judgeConnection(&c)
		},
	}
}

func readConnection(ctx context.Context, l *look) (connection, error) {
	c := connection{
		url: l.nc.ConnectedUrlRedacted(), server: l.nc.ConnectedServerName(), version: l.nc.ConnectedServerVersion(),
		cluster: l.nc.ConnectedClusterName(), maxPayload: l.nc.MaxPayload(),
	}
	_, failed := l.nc.TLSConnectionState()
	c.tls = failed == nil
	if u, err := url.Parse(c.url); err == nil && u.User != nil {
		u.User = nil
		c.url = u.String()
	}
	from := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return c, err
	}
	c.rtt = time.Since(from)
	c.echo, c.echoErr = hearsItself(ctx, l)
	return c, nil
}

// hearsItself sends a message to an inbox of this connection.
func hearsItself(ctx context.Context, l *look) (bool, error) {
	inbox := l.nc.NewInbox() + "." + wire.CallerAliveToken // which servers may publish to
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return false, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a connection that is closed
	var refused *deniedError
	stop := l.watchDenials(func(d *deniedError) {
		if d.subject == inbox {
			refused = d
		}
	})
	if err := l.nc.Publish(inbox, nil); err != nil {
		stop()
		return false, err
	}
	err = l.settle(ctx)
	stop()
	if refused != nil {
		return false, refused
	}
	if err != nil {
		return false, err
	}
	// NATS has delivered the message before it has answered the flush.
	n, _, err := sub.Pending()
	return n > 0, err
}

// judgeConnection judges a connection that is up.
func judgeConnection(c *connection) []Finding {
	cluster := ""
	if c.cluster != "" {
		cluster = ", cluster " + c.cluster
	}
	found := []Finding{ok("connection.up", "", "%s: nats-server %s, named %s%s; round trip %s, messages up to %s",
		c.url, c.version, c.server, cluster, shortDuration(c.rtt), size(c.maxPayload))}
	if c.rtt > slowRTT {
		found = append(found, warning("connection.slow", "",
			"a round trip to NATS takes %s; each call takes two of them, and leaders with a short lease may be lost", shortDuration(c.rtt)).
			so("connect to a NATS server nearby, and compare with nats rtt"))
	}
	if !c.tls && !onThisMachine(c.url) {
		found = append(found, warning("connection.plain", "", "the connection has no TLS, and leaves this machine").
			so("turn tls on in the NATS server, and use a URL that begins with tls://"))
	}
	switch {
	case c.echoErr != nil:
		found = append(found, unknown("connection.echo", "", "whether messages come back to this connection cannot be tried: %v", c.echoErr).
			so("let this user publish to %q, as servers may", "<inbox prefix>.*.live"))
	case !c.echo:
		found = append(found, failure("connection.echo", "",
			"a message of this connection does not come back to it; servers that hear nothing of themselves do not serve").
			so("connect without the option nats.NoEcho"))
	}
	if c.maxPayload < smallMaxPayload {
		found = append(found, warning("connection.max_payload", "",
			"NATS takes messages up to %s, which records of instances may exceed", size(c.maxPayload)).
			so("set max_payload of the NATS server to 64KB or more"))
	}
	return found
}

// onThisMachine reports whether a URL names a server on the loopback interface.
func onThisMachine(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// connected reports whether the connection is up now.
func (s *Session) connected() bool { return s.nc.Status() == nats.CONNECTED }
