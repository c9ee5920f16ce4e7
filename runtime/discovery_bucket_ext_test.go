package aegis_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestWithoutJetStreamHeartbeatsAreEnough(t *testing.T) {
	t.Parallel()
	nats := startRestartable(t)
	var log logs
	serverConn := connectTo(t, nats.url, log.option())
	srv := run(t, serverConn, probe{}, aegis.WithInstance("a"))
	watcher := connectTo(t, nats.url)
	shows(t, watcher, probeName, "a RUNNING")
	c := watchInstances(t, watcher, probeName)
	c.tells("a joined")
	nats.down(serverConn, watcher)
	nats.up()
	_, err := newClient(t, watcher).Do(t.Context(), doRequest(""), aegis.WaitForReady())
	require.NoError(t, err)
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
	c.tells("a state changed RUNNING>STOPPING", "a left")
	require.Equal(t, 1, log.count("cannot be registered"))
	require.Contains(t, log.String(), "jetstream: enabled")
}

func startForgetful(t *testing.T) *jetStreamServer {
	t.Helper()
	s := &jetStreamServer{t: t}
	s.up()
	s.url = s.ClientURL()
	u, err := url.Parse(s.url)
	require.NoError(t, err)
	s.port, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
	t.Cleanup(func() { s.Stop() })
	return s
}

func TestNATSRestartedWithoutData(t *testing.T) {
	t.Parallel()
	nats := startForgetful(t)
	serverConn, watcher := connectTo(t, nats.url), connectTo(t, nats.url)
	run(t, serverConn, probe{}, aegis.WithInstance("a"))
	b := run(t, serverConn, probe{}, aegis.WithInstance("b"))
	shows(t, watcher, probeName, "a RUNNING", "b RUNNING")
	c := watchInstances(t, watcher, probeName)
	first, err, ok := c.next()
	require.True(t, ok)
	require.NoError(t, err)
	require.Equal(t, aegis.InstanceJoined, first.Kind)
	_, _, ok = c.next()
	require.True(t, ok)
	for range 2 {
		nats.Stop()
		eventually(t, "the outage is noticed", func() bool { return !serverConn.NATS().IsConnected() && !watcher.NATS().IsConnected() })
		nats.up()
		// Somebody who has never seen them finds them in the new bucket.
		fresh := connectTo(t, nats.url)
		shows(t, fresh, probeName, "a RUNNING", "b RUNNING")
		eventually(t, "they are registered again", func() bool {
			js, err := jetstream.New(fresh.NATS())
			require.NoError(t, err)
			kv, err := js.KeyValue(t.Context(), "aegis-registry")
			if err != nil {
				return false
			}
			keys, err := kv.Keys(t.Context())
			return err == nil && len(keys) == 2
		})
		eventually(t, "the watcher is back", watcher.NATS().IsConnected)
		require.NoError(t, watcher.NATS().Flush())
	}
	// The watcher has seen no change in all that, and sees the next one.
	b.stop()
	c.tells("b state changed RUNNING>STOPPING", "b left")
}

// Users with no more than the documented permissions.
func TestLeastPermissionsOfTheRegistry(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(config, []byte(registryPermissions), 0o600))
	n := aegistest.StartNATSWithConfig(t, config)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "//", "//"+user+":x@", 1), opts...)
	}
	var log logs
	srv := run(t, as("server", log.option()), probe{}, aegis.WithInstance("a"))
	client := as("client", log.option())
	shows(t, client, probeName, "a RUNNING")
	c := watchInstances(t, client, probeName)
	c.tells("a joined")
	require.Empty(t, log.complaints())

	// Without JetStream it takes a heartbeat's time, and works.
	var poor logs
	start := time.Now()
	other := run(t, as("poorserver", poor.option()), probe{}, aegis.WithInstance("b"))
	require.Less(t, time.Since(start), 4*time.Second)
	shows(t, as("poorclient", poor.option()), probeName, "a RUNNING", "b RUNNING")
	require.Equal(t, 1, poor.count("cannot be registered"))
	require.Equal(t, 1, poor.count("the registry cannot be read"))
	require.Equal(t, 1, poor.count("NATS micro tools will not see this server"))
	other.stop()
	require.NoError(t, receive(t, "Run returns", other.done))
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
}

func TestABucketThatMayNotBeMade(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t, log.option())
	run(t, conn, probe{}, aegis.WithInstance("a"), aegis.WithRegistryBucket(aegis.BucketConfig{NoCreate: true}))
	require.Equal(t, 1, log.count("the KV bucket does not exist: aegis-registry"))
	shows(t, another(t, conn), probeName, "a RUNNING")
}

func (s *jetStreamServer) up() {
	s.t.Helper()
	dir := s.t.TempDir()
	eventually(s.t, "the NATS server listens", func() bool {
		var err error
		s.Server, err = embednats.Start(embednats.Options{Port: s.port, StoreDir: dir})
		return err == nil
	})
}

// jetStreamServer is a NATS server that loses its data whenever it restarts.
type jetStreamServer struct {
	*embednats.Server
	t    *testing.T
	url  string
	port int
}
