package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// guarded is a NATS server whose users come and go.
type guarded struct {
	*embednats.Server

	t    *testing.T
	path string
	port int
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &guarded{t: t, path: filepath.Join(t.TempDir(), "nats.conf"), port: l.Addr().(*net.TCPAddr).Port}
	require.NoError(t, l.Close()) // for this server; nobody else has asked for it
	g.write("app", "other")
	g.Server, err = embednats.Start(embednats.Options{Port: g.port, Config: g.path})
	require.NoError(t, err)
	t.Cleanup(g.Stop)
	return g
}

func (g *guarded) write(users ...string) {
	g.t.Helper()
	for i, user := range users {
		users[i] = "{user: " + user + ", password: pw}"
	}
	config := fmt.Sprintf("host: 127.0.0.1\nport: %d\nauthorization {users: [%s]}\n", g.port, strings.Join(users, ", "))
	require.NoError(g.t, os.WriteFile(g.path, []byte(config), 0o600))
}

// admit makes the server let in these users, and nobody else.
func (g *guarded) admit(users ...string) {
	g.t.Helper()
	g.write(users...)
	require.NoError(g.t, g.Reload())
}

func (g *guarded) as(user string) string {
	return fmt.Sprintf("nats://%s:pw@127.0.0.1:%d", user, g.port)
}

// A user that is rolled out in two steps, or an authentication service that is
// away for a moment, must not end a fleet.
func TestConnectionThatNATSRefusesForAWhileComesBack(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	var refused atomic.Int32
	serverConn := connectTo(t, g.as("app"), aegis.WithNATSOptions(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrAuthorization) {
			refused.Add(1)
		}
	})))
	var log logs
	clientConn := connectTo(t, g.as("app"), log.option())
	srv := run(t, serverConn, probe{})
	client := newClient(t, clientConn)
	_, err := client.Do(t.Context(), doRequest("before"))
	require.NoError(t, err)

	g.admit("other")
	eventually(t, "the server is refused several times", func() bool { return refused.Load() >= 6 })
	eventually(t, "the client says that it is refused", func() bool { return log.count("NATS refuses") == 1 })
	_, err = connectAndClose(t, g.as("app"))
	require.ErrorIs(t, err, nats.ErrAuthorization, "who begins is told at once")

	g.admit("app", "other")
	_, err = client.Do(t.Context(), doRequest("after"), aegis.WaitForReady())
	require.NoError(t, err)
	pending(t, "the server has ended", srv.done)
	eventually(t, "the client says that it is over", func() bool { return log.count("user again") == 1 })
	require.Equal(t, 1, log.count("NATS refuses"), "a state that lasts is one line: %s", log.String())
	require.Contains(t, log.String(), "refused=")
	require.NotContains(t, log.String(), "closed for good")
	srv.end(t)
}

func connectAndClose(t *testing.T, url string) (*aegis.Conn, error) {
	t.Helper()
	conn, err := aegis.Connect(t.Context(), url, silent())
	if err == nil {
		err = conn.Close(t.Context())
	}
	return conn, err
}

// A process without a server has no Run that returns an error.
func TestConnectionThatIsClosedForGoodIsSaid(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	var log logs
	conn := connectTo(t, g.as("app"), log.option(), aegis.WithNATSOptions(func(o *nats.Options) error {
		o.IgnoreAuthErrorAbort = false
		return nil
	}))
	client := newClient(t, conn)
	g.admit("other")
	const line = "the connection to NATS is closed for good"
	eventually(t, "it is said", func() bool { return log.count(line) == 1 })
	require.Contains(t, log.String(), `level=ERROR msg="aegis: `+line)
	require.Contains(t, log.String(), "Authorization Violation")
	_, err := client.Do(t.Context(), doRequest(""))
	require.ErrorIs(t, err, aegis.ErrConnClosed)

	var closing logs
	g.admit("app", "other")
	conn, err = aegis.Connect(t.Context(), g.as("app"), closing.option())
	require.NoError(t, err)
	require.NoError(t, conn.Close(context.Background()))
	require.Zero(t, closing.count(line), "its own Close is no news")
}

func TestNewConnWarnsOfOptionsThatKeepItFromComingBack(t *testing.T) {
	t.Parallel()
	n := connect(t)
	var log logs
	conn, err := aegis.NewConn(plain(t, n), log.option())
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.Equal(t, 1, log.count("use nats.MaxReconnects(-1)"))
	require.Equal(t, 1, log.count("use nats.IgnoreAuthErrorAbort()"))
	require.Equal(t, 1, log.count("use nats.PingInterval"))

	var quiet logs
	nc, err := nats.Connect(n.NATS().ConnectedUrl(), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	conn, err = aegis.NewConn(nc, quiet.option())
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.Empty(t, quiet.String())
}
