package aegistest

import (
	"net/url"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"

	"github.com/aegisrpc/aegis/internal/natsproxy"
)

// Link is a way to a NATS server that can be disturbed, as a network is: all that connects by
// its URL goes through it. It is safe for concurrent use.
type Link struct {
	proxy *natsproxy.Held
}

// Link makes a way to the server. It ends with the test.
func (n *NATS) Link(tb testing.TB) *Link {
	tb.Helper()
	u, err := url.Parse(n.URL())
	if err != nil {
		tb.Fatal(err)
	}
	proxy, err := natsproxy.NewHeld(u.Host)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(proxy.Close)
	return &Link{proxy}
}

// URL returns the URL by which clients connect through the link.
func (l *Link) URL() string { return l.proxy.URL() }

// Connect returns a connection through the link. Else it is as [NATS.Connect]. Before the
// connection is closed at the end of the test, the link is restored.
func (l *Link) Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	conn := connect(tb, l.URL(), opts)
	tb.Cleanup(l.Restore)
	return conn
}

// Pause lets nothing through in either direction, and nobody is told: connections stay open,
// and all that is sent stays where it is until Restore. A connection that hears nothing gives
// up after some seconds, and tries another one. A server stops late over a link that is paused:
// a test should restore it.
func (l *Link) Pause() { l.proxy.ShutAll() }

// Cut closes all connections, and all that are made from now on, until Restore. What was
// under way is lost.
func (l *Link) Cut() { l.proxy.Refuse() }

// Slow has all that is sent from now on arrive that much later, in each direction; 0 ends
// that.
func (l *Link) Slow(latency time.Duration) { l.proxy.Delay(latency) }

// Restore ends Pause, Cut and Slow. What Pause has held back arrives now.
func (l *Link) Restore() {
	l.proxy.Delay(0)
	l.proxy.Accept()
	l.proxy.OpenAll()
}
