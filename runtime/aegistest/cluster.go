package aegistest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// clusterTimeout is how long the servers of a cluster may take to agree.
const clusterTimeout = 2 * time.Minute

// Cluster is a cluster of NATS servers with JetStream, for tests of what is stored on several
// servers (three replicas) and of their failures. It is safe for concurrent use.
type Cluster struct {
	servers []*NATS
}

// StartCluster starts a cluster of that many NATS servers, 3 or 5, which stop when the test
// ends. It returns when JetStream can be used, which takes some seconds. If it cannot be
// started the test fails.
func StartCluster(tb testing.TB, servers int) *Cluster {
	tb.Helper()
	var names []string
	for i := range servers {
		names = append(names, fmt.Sprint("n", i+1))
	}
	options, err := embednats.Cluster("aegistest", tb.TempDir(), names...)
	if err != nil {
		tb.Fatal(err)
	}
	c, f := &Cluster{}, newFirsts()
	for _, o := range options {
		c.servers = append(c.servers, start(tb, o, f))
	}
	c.AwaitReady(tb)
	return c
}

// Servers returns the servers, those that are stopped among them: n1, n2 and so on. Stop and
// Start of each one stop it and start it again.
func (c *Cluster) Servers() []*NATS { return c.servers }

// URL returns the URLs of all servers, separated by commas, as aegis.Connect takes them.
func (c *Cluster) URL() string {
	var urls []string
	for _, n := range c.servers {
		urls = append(urls, n.URL())
	}
	return strings.Join(urls, ",")
}

// Connect returns a connection to one of the servers that run, which moves on to another one
// when that is lost. Else it is as [NATS.Connect].
func (c *Cluster) Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	return connect(tb, c.URL(), opts)
}

// AwaitReady waits until JetStream can be used on all servers that run: one of them is the
// leader of the others, and these have all that it has. Most servers must run. Streams may
// still be without a leader. If that takes more than two minutes the test fails.
func (c *Cluster) AwaitReady(tb testing.TB) {
	tb.Helper()
	for deadline := time.Now().Add(clusterTimeout); !c.ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("the NATS servers have not agreed on a leader within %v", clusterTimeout)
		}
	}
}

func (c *Cluster) ready() bool {
	led := false
	for _, n := range c.servers {
		leads, current := n.standing()
		if !current {
			return false
		}
		led = led || leads
	}
	return led
}

// standing reports whether the server is the leader of its cluster, and whether it is as far
// as the leader is. A server that is stopped does not count.
func (n *NATS) standing() (leads, current bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return false, true
	}
	return n.server.JetStreamIsLeader(), n.server.JetStreamIsCurrent()
}
