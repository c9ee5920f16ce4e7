package aegis_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// permissions are those of docs/protocol.md and docs/registry.md, and users that lack some of them.
const permissions = `
authorization {
  users = [
    {user: server, password: pw, permissions: {
      publish: ["aegis.live.*", "aegis.*._void.*", "_INBOX.*.live", "aegis.beat.aegistest.v1.ProbeService.*", "$KV.aegis-registry.aegistest.v1.ProbeService.*",
                "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.STREAM.MSG.GET.KV_aegis-registry", "$JS.API.STREAM.CREATE.KV_aegis-registry"]
      subscribe: ["aegis.call.aegistest.v1.ProbeService.* aegis", "aegis.inst.*.aegistest.v1.ProbeService.*",
                  "aegis.cancel.aegistest.v1.ProbeService", "aegis.live.*", "_INBOX.>", "aegis.beat.aegistest.v1.ProbeService.*", "$SRV.>", "aegis.desc.aegistest.v1.ProbeService.* aegis"]
      allow_responses: {max: -1}
    }}
    {user: reticent, password: pw, permissions: {
      publish: ["aegis.live.*", "aegis.*._void.*", "_INBOX.*.live", "aegis.beat.aegistest.v1.ProbeService.*", "$KV.aegis-registry.aegistest.v1.ProbeService.*",
                "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.STREAM.MSG.GET.KV_aegis-registry", "$JS.API.STREAM.CREATE.KV_aegis-registry"]
      subscribe: ["aegis.call.aegistest.v1.ProbeService.* aegis", "aegis.inst.*.aegistest.v1.ProbeService.*",
                  "aegis.cancel.aegistest.v1.ProbeService", "aegis.live.*", "_INBOX.>", "aegis.beat.aegistest.v1.ProbeService.*", "$SRV.>"]
      allow_responses: {max: -1}
    }}
    {user: client, password: pw, permissions: {
      publish: ["aegis.call.aegistest.v1.ProbeService.>", "aegis.cancel.aegistest.v1.ProbeService", "aegis.*._void.*"]
      subscribe: ["_INBOX.>"]
    }}
    {user: mayget, password: pw, permissions: {
      publish: ["aegis.call.aegistest.v1.ProbeService.Get"], subscribe: ["_INBOX.>"]
    }}
    {user: nothing, password: pw, permissions: {publish: ["x"], subscribe: ["_INBOX.>"]}}
    {user: deaf, password: pw, permissions: {publish: [">"], subscribe: ["x"]}}
  ]
}
`

func startWithUsers(t *testing.T) func(user string, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	urlOf := startWithPermissions(t)
	return func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		t.Helper()
		return connectTo(t, urlOf(user), opts...)
	}
}

func startWithPermissions(t *testing.T) (urlOf func(user string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(permissions), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	return func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
}

func TestDocumentedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	connectAs := startWithUsers(t)
	var serverLog, clientLog logs
	serve(t, connectAs("server", serverLog.option()), probe{}, serverLog.option())
	client := newClient(t, connectAs("client", clientLog.option()))
	res, err := client.Do(t.Context(), doRequest("hi"))
	require.NoError(t, err)
	require.Equal(t, "hi", res.GetText())
	for range 20 { // more than one reply
		_, err = client.Get(t.Context(), getRequest(""))
		require.NoError(t, err)
	}
	require.Empty(t, serverLog.complaints())
	require.Empty(t, clientLog.String())
}

func TestServerThatMayNotSubscribeSaysSo(t *testing.T) {
	t.Parallel()
	conn := startWithUsers(t)("client")
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
	err = srv.Run(t.Context())
	require.ErrorContains(t, err, "aegis: NATS does not allow this user what a server needs; aegis doctor --role server --service S tells all that is missing: ")
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.Contains(t, err.Error(), `Subscription to "aegis.`)
	require.Equal(t, aegis.StateStopped, srv.State())
}

// That a client on the same connection may not publish something is nothing to
// a server.
func TestServersStartIgnoresWhatClientsMayNot(t *testing.T) {
	t.Parallel()
	connectAs := startWithUsers(t)
	for range 10 {
		conn := connectAs("server")
		require.NoError(t, conn.NATS().Publish("aegis.call.other.Service.Do", nil), "which this user may not")
		srv := run(t, conn, probe{})
		srv.stop()
		require.NoError(t, receive(t, "Run returns", srv.done))
	}
}

func TestCallThatMayNotBePublishedFailsAtOnce(t *testing.T) {
	t.Parallel()
	connectAs := startWithUsers(t)
	serve(t, connectAs("server"), probe{})
	var log logs
	conn := connectAs("mayget", log.option())
	client := newClient(t, conn)
	start := time.Now()
	_, err := client.Do(t.Context(), doRequest(""))
	require.Less(t, time.Since(start), 3*time.Second, "long before the timeout")
	require.EqualError(t, err, "PERMISSION_DENIED: NATS does not allow this user to publish to "+doSubject+"; add it to the user's permissions")
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.False(t, aegis.IsWireError(err))
	_, err = client.Get(t.Context(), getRequest(""))
	require.NoError(t, err, "other methods are not touched")
	eventually(t, "it is logged", func() bool { return log.count("NATS error") > 0 })
}

// On a connection of the user's own, nobody tells; the deadline does.
func TestCallThatMayNotBePublishedOnAUsersConnection(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(startWithPermissions(t)("nothing"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	conn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	client := newClient(t, conn)
	// nats.go keeps the last error only, and the void probe is refused as well.
	eventually(t, "the void probe is over", func() bool { return nc.LastError() != nil })
	_, err = client.Quick(t.Context(), quickRequest(""))
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
}

// nats.go keeps the last error alone. If that is about something else, it cannot be
// told why nobody replied, but where to look.
func TestCallThatMayNotBePublishedBesideOthers(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(startWithPermissions(t)("nothing"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	conn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	client := newClient(t, conn)
	eventually(t, "the void probe is over", func() bool { return nc.LastError() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	call := async(func() (any, error) { return client.Do(ctx, doRequest("")) })
	eventually(t, "the call is refused", func() bool { return strings.Contains(nc.LastError().Error(), doSubject) })
	require.NoError(t, nc.Publish("another.subject", nil))
	err = receive(t, "the call ends", call).err
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.ErrorContains(t, err, "; NATS does not allow this user to publish to another.subject, and maybe not this either: look at what the nats.ErrorHandler")
}

// A client that cannot hear replies cannot work; whoever connects it can act.
func TestConnectionThatMayNotHearRepliesIsRefused(t *testing.T) {
	t.Parallel()
	_, err := aegis.Connect(t.Context(), startWithPermissions(t)("deaf"), silent())
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, "aegis: subscribe to replies: ")
	require.NotContains(t, err.Error(), ":pw")
}

// Somebody who listens to everything makes calls to nobody slow, and nothing
// else: not one wrong answer, and one warning.
func TestEverythingStaysCorrectBesideASubscriberToEverything(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	spy := spyOn(t, conn)
	clientConn := another(t, conn, log.option())
	server := serve(t, conn, probe{})
	client := newClient(t, clientConn)
	for range 100 {
		res, err := client.Do(t.Context(), doRequest("x"))
		require.NoError(t, err)
		require.Equal(t, "x", res.GetText())
	}
	_, err := client.Do(t.Context(), doRequest(""), aegis.ToInstance(server.Instance()))
	require.NoError(t, err)
	_, err = client.Quick(t.Context(), quickRequest(""), aegis.ToInstance("nobody"))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err), "NATS does not say that nobody listens")
	require.NotErrorIs(t, err, aegis.ErrNoResponders)
	const warning = "NATS does not say when nobody listens: somebody subscribes to everything"
	eventually(t, "the warnings, one for each kind of subject", func() bool { return log.count(warning) == 2 })
	newClient(t, clientConn)
	_, err = client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, 2, log.count(warning))
	require.Contains(t, log.String(), "aegis.call._void.*")
	spy.leave(t)
	_, err = client.Do(t.Context(), doRequest(""), aegis.ToInstance("nobody"))
	require.ErrorIs(t, err, aegis.ErrNoResponders, "fast again")
}

func TestToInstanceReachesThatInstanceOnly(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"one", "two", "Three_3-x"} {
		serve(t, another(t, conn), probe{}, aegis.WithInstance(name))
	}
	client := newClient(t, conn)
	for _, name := range []string{"one", "two", "Three_3-x"} {
		for range 20 {
			res, err := client.Do(t.Context(), doRequest(""), aegis.ToInstance(name))
			require.NoError(t, err)
			require.Equal(t, name, res.GetInstanceName())
		}
	}
	toTwo := newClient(t, conn, aegis.ToInstance("two"))
	res, err := toTwo.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "two", res.GetInstanceName())
	_, err = client.Do(t.Context(), doRequest(""), aegis.ToInstance("four"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.ErrorContains(t, err, "aegis.inst.four.aegistest.v1.ProbeService.Do")
}

func TestCallsAreSharedAmongInstances(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	names := map[string]int{}
	for range 3 {
		srv := serve(t, another(t, conn), probe{})
		require.Regexp(t, `^[A-Za-z0-9_-]{1,64}$`, srv.Instance())
		names[srv.Instance()] = 0
	}
	require.Len(t, names, 3, "default names are unique")
	client := newClient(t, conn)
	for range 300 {
		res, err := client.Do(t.Context(), doRequest(""))
		require.NoError(t, err)
		names[res.GetInstanceName()]++
	}
	require.Len(t, names, 3)
	for name, n := range names {
		require.Greater(t, n, 30, name)
	}
}

func TestNamespacesAreSeparate(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, ns := range []string{"test", "PROD_1"} {
		serve(t, another(t, conn, aegis.WithNamespace(ns)), probe{do: nil}, aegis.WithInstance(ns))
	}
	res, err := newClient(t, another(t, conn, aegis.WithNamespace("PROD_1"))).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "PROD_1", res.GetInstanceName())
	_, err = newClient(t, conn).Do(t.Context(), &testv1.DoRequest{}, aegis.ToInstance("test"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
}

// Requests of unknown age are run only where running them late does no harm.
func TestStaleRequestsRunOnlyIfIdempotent(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serve(t, conn, probe{})
	client := newClient(t, conn, aegis.MaxAttempts(1))
	srv.Suspect(true)
	_, err := client.Do(t.Context(), doRequest(""))
	e := asError(t, err)
	require.Equal(t, aegis.ReasonStale, e.Reason())
	require.Equal(t, aegis.CodeUnavailable, e.Code())
	require.True(t, aegis.IsWireError(err))
	require.Contains(t, e.Message(), srv.Instance()+" was paused")
	_, err = client.Get(t.Context(), getRequest(""))
	require.NoError(t, err)
	srv.Suspect(false)
	_, err = client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
}
