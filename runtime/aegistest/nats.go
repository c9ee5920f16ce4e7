package aegistest

import (
	"context"
	"sync"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// startTimeout is how long something may take to start. A test fails after that.
const startTimeout = 30 * time.Second

// NATS is a NATS server with JetStream, on a free port of the loopback
// interface, with its files in the test's temporary folder. It is safe for concurrent use.
type NATS struct {
	options embednats.Options
	firsts  *firsts // nil: first leaders wait

	mu     sync.Mutex // guards the next two
	server *embednats.Server
	url    string // stays when the server is stopped
}

// StartNATS starts a NATS server, which stops when the test ends. If it cannot be started
// the test fails.
func StartNATS(tb testing.TB) *NATS {
	tb.Helper()
	return start(tb, embednats.Options{StoreDir: tb.TempDir()}, newFirsts())
}

// StartNATSWithConfig is StartNATS with a configuration file of nats-server,
// for tests with users and permissions. Address, port and JetStream are set as
// for StartNATS, whatever the file says.
func StartNATSWithConfig(tb testing.TB, path string) *NATS {
	tb.Helper()
	return start(tb, embednats.Options{StoreDir: tb.TempDir(), Config: path}, nil)
}

func start(tb testing.TB, o embednats.Options, f *firsts) *NATS {
	tb.Helper()
	if o.Port == 0 {
		var err error
		if o.Port, err = embednats.FreePort(); err != nil {
			tb.Fatal(err)
		}
	}
	n := &NATS{options: o, firsts: f}
	tb.Cleanup(n.Stop)
	n.Start(tb)
	return n
}

// URL returns the URL to which clients connect. It stays the same for as long as the test
// runs.
func (n *NATS) URL() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.url
}

// Name returns the name of the server: "n1", "n2" and so on in a cluster, else one that NATS
// has made up.
func (n *NATS) Name() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server.Name()
}

// Stop stops the server, as a signal to its process would, and returns when it has stopped.
// Its clients try to reconnect meanwhile. If it is stopped already Stop does nothing.
func (n *NATS) Stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		forgetFirsts(n.server.ID())
		n.server.Stop()
	}
}

// running reports whether the server runs; n.mu is held.
func (n *NATS) running() bool { return n.server != nil && n.server.Running() }

// Start starts the server again after Stop, on the same port and with all that it has
// stored. It returns when the server accepts connections; the connections of its clients come
// back within some 100 ms. If the server runs Start does nothing, and if it cannot be started
// the test fails.
func (n *NATS) Start(tb testing.TB) {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return
	}
	s, err := embednats.Start(n.options)
	if err != nil {
		tb.Fatal(err)
	}
	n.server, n.url = s, s.ClientURL()
	rememberFirsts(s.ID(), n.firsts)
}

// Restart stops the server and starts it again.
func (n *NATS) Restart(tb testing.TB) {
	tb.Helper()
	n.Stop()
	n.Start(tb)
}

// Connect returns a connection to the server, which is closed when the test ends. It logs to
// the test's output unless [aegis.WithLogger] says otherwise. If it cannot be made, or closed,
// the test fails.
func (n *NATS) Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	return connect(tb, n.URL(), opts)
}

// Connect starts a NATS server and returns a connection to it. Both end with the test.
func Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	return StartNATS(tb).Connect(tb, opts...)
}

func connect(tb testing.TB, url string, opts []aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	opts = append([]aegis.ConnOption{aegis.WithLogger(newLogger(tb))}, opts...)
	conn, err := aegis.Connect(ctx, url, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return conn
}
