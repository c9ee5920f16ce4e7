package aegis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// startConfigured starts a NATS server, with JetStream if the text says so.
func startConfigured(t testing.TB, text string) *embednats.Server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	s, err := embednats.Start(embednats.Options{Config: path})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

// inDomain is the configuration of a JetStream.
func inDomain(t testing.TB, domain string) string {
	t.Helper()
	return fmt.Sprintf("jetstream {domain: %s, store_dir: %q}\n", domain, t.TempDir())
}

// startLeaf starts a hub and a leaf node that is connected to it.
func startLeaf(t testing.TB, hubConfig, leafConfig string) (hub, leaf *embednats.Server) {
	t.Helper()
	hub = startConfigured(t, hubConfig+"server_name: hub\nleafnodes {listen: \"127.0.0.1:-1\"}\n")
	varz, err := hub.Varz(nil)
	require.NoError(t, err)
	leaf = startConfigured(t, leafConfig+fmt.Sprintf("server_name: leaf\nleafnodes {remotes: [{url: \"nats-leaf://127.0.0.1:%d\"}]}\n", varz.LeafNode.Port))
	eventually(t, "the leaf node is connected", func() bool { return hub.NumLeafNodes() == 1 && leaf.NumLeafNodes() == 1 })
	return hub, leaf
}

// all that Aegis keeps for the services of the tests below.
var keptStreams = []string{
	"KV_aegis-descriptors", "KV_aegis-leaders", "KV_aegis-registry",
	"aegis-commands-aegistest-v1-JobService", "aegis-commands-aegistest-v1-LeaderJobService",
	"aegis-dead-aegistest-v1-EventService", "aegis-dead-aegistest-v1-JobService", "aegis-dead-aegistest-v1-LeaderJobService",
	"aegis-events-aegistest-v1-EventService",
	"aegis-results-aegistest-v1-JobService", "aegis-results-aegistest-v1-LeaderJobService",
}

// usesAllStores has every kind of store used: servers are on one connection,
// clients on another.
func usesAllStores(t *testing.T, servers, clients *aegis.Conn) {
	t.Helper()
	var d diary
	subscribe(t, servers, handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		if ev.GetText() == "bad" {
			return aegis.Permanent(errWrong)
		}
		return d.stored(ctx, ev)
	}}, named("s"), aegis.EachInstance())
	worker(t, servers, jobs{once: func(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) { return nil, errWrong }})
	var log arrangements
	startArranger(t, servers, "a", &log)

	publisher := newPublisher(t, clients)
	mustStore(t, publisher, "bad")
	mustStore(t, publisher, "x")
	eventually(t, "it is handled", func() bool { return d.count("x") == 1 })
	client := newJobClient(t, clients)
	cmd := send(t, client, "y")
	require.Equal(t, "y", mustResult(t, cmd))
	require.Equal(t, "y", mustResult(t, aegistestv1aegis.JobServiceWorkCommand(servers, cmd.ID())))
	failing, err := client.Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)
	_, err = failing.Result(t.Context())
	require.Error(t, err)
	for _, service := range []string{jobService, "aegistest.v1.EventService"} {
		eventually(t, "there is a dead letter of "+service, func() bool { return len(deadLetters(t, clients, service)) == 1 })
	}
	leaders, err := aegistestv1aegis.NewLeaderJobServiceClient(clients)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), leaderDeadline)
	defer cancel()
	arranged, err := leaders.Arrange(ctx, &testv1.ArrangeRequest{Number: 7})
	require.NoError(t, err)
	res, err := arranged.Result(ctx)
	require.NoError(t, err)
	require.NotZero(t, res.GetTerm())
	shows(t, clients, "aegistest.v1.LeaderJobService", "a RUNNING")
}

// keeps asserts what is kept where, and that the buckets are filled.
func keeps(t *testing.T, js jetstream.JetStream, want []string) {
	t.Helper()
	var have []string
	list := func() bool {
		have = nil
		for name := range js.StreamNames(t.Context()).Name() {
			have = append(have, name)
		}
		slices.Sort(have)
		return slices.Equal(want, have)
	}
	for until := time.Now().Add(patience); !list() && time.Now().Before(until); { // descriptors come last
		time.Sleep(10 * time.Millisecond)
	}
	require.Equal(t, want, have)
	for _, name := range want[:min(3, len(want))] {
		eventually(t, name+" has a record", func() bool {
			stream, err := js.Stream(t.Context(), name)
			require.NoError(t, err)
			return stream.CachedInfo().State.Msgs > 0
		})
	}
}

// ofDomain is the JetStream of a server by its own domain.
func ofDomain(t *testing.T, s *embednats.Server, domain string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.NewWithDomain(connectTo(t, s.ClientURL()).NATS(), domain)
	require.NoError(t, err)
	return js
}

func TestAllStoresAreInTheDomain(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]aegis.ConnOption{
		"domain": aegis.WithJetStreamDomain("hub"), "prefix": aegis.WithJetStreamAPIPrefix("$JS.hub.API"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startConfigured(t, inDomain(t, "hub"))
			usesAllStores(t, connectTo(t, s.ClientURL(), option), connectTo(t, s.ClientURL()))
			keeps(t, ofDomain(t, s, "hub"), keptStreams)
		})
	}
}

// What is kept at the leaf node is used from the hub, which has no JetStream.
func TestStoresAtALeafNodeOfAHubWithoutJetStream(t *testing.T) {
	t.Parallel()
	hub, leaf := startLeaf(t, "", inDomain(t, "leaf"))
	usesAllStores(t, connectTo(t, hub.ClientURL(), aegis.WithJetStreamDomain("leaf")), connectTo(t, leaf.ClientURL()))
	keeps(t, ofDomain(t, leaf, "leaf"), keptStreams)
}

// Both have a JetStream. NATS keeps the subjects of buckets within either, so
// they are reached through the API of the domain alone.
func TestStoresAtTheHubOfALeafNodeWithJetStream(t *testing.T) {
	t.Parallel()
	hub, leaf := startLeaf(t, inDomain(t, "hub"), inDomain(t, "leaf"))
	usesAllStores(t, connectTo(t, leaf.ClientURL(), aegis.WithJetStreamDomain("hub")), connectTo(t, hub.ClientURL()))
	keeps(t, ofDomain(t, hub, "hub"), keptStreams)
	keeps(t, ofDomain(t, leaf, "leaf"), nil)
}

const importedJetStream = `
jetstream {store_dir: %q}
accounts {
  KEEP: {
    jetstream: enabled
    users: [{user: keep, password: pw}]
    exports: [
      {service: "$JS.API.>", response_type: stream}
      {service: "$KV.>"}
      {service: "$JS.ACK.>"}
      {service: "$JS.FC.>"}
      {service: "aegis.log.>"}
      {service: "aegis.cmd.>"}
      {service: "aegis.res.>"}
      {service: "aegis.dead.>"}
      {stream: "_INBOX.>"}
    ]
  }
  APP: {
    users: [{user: app, password: pw}]
    imports: [
      {service: {account: KEEP, subject: "$JS.API.>"}, to: "JS.keep.>"}
      {service: {account: KEEP, subject: "$KV.>"}, to: "JS.keep.$KV.>"}
      {service: {account: KEEP, subject: "$JS.ACK.>"}}
      {service: {account: KEEP, subject: "$JS.FC.>"}}
      {service: {account: KEEP, subject: "aegis.log.>"}}
      {service: {account: KEEP, subject: "aegis.cmd.>"}}
      {service: {account: KEEP, subject: "aegis.res.>"}}
      {service: {account: KEEP, subject: "aegis.dead.>"}}
      {stream: {account: KEEP, subject: "_INBOX.>"}}
    ]
  }
}
`

// An account without JetStream uses that of another one, under a prefix.
func TestStoresInAnotherAccount(t *testing.T) {
	t.Parallel()
	s := startConfigured(t, fmt.Sprintf(importedJetStream, t.TempDir()))
	url := func(user string) string { return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":pw@", 1) }
	prefix := aegis.WithJetStreamAPIPrefix("JS.keep")
	usesAllStores(t, connectTo(t, url("app"), prefix), connectTo(t, url("app"), prefix))
	keeps(t, jetStream(t, connectTo(t, url("keep"))), keptStreams)
}

func TestDomainThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := startConfigured(t, inDomain(t, "hub"))
	log, option := newProblems()
	conn := connectTo(t, s.ClientURL(), aegis.WithJetStreamDomain("other"))
	startArranger(t, conn, "a", &arrangements{}, option)
	log.says(t, "nobody answers at $JS.other.API.>; check the domain or prefix")
	_, err := newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.ErrorContains(t, err, "nobody answers at $JS.other.API.>; check the domain or prefix")
	shows(t, connectTo(t, s.ClientURL()), "aegistest.v1.LeaderJobService", "a RUNNING") // by its heartbeats
	for _, o := range []aegis.ConnOption{aegis.WithJetStreamDomain("a.b"), aegis.WithJetStreamAPIPrefix("a.*"), aegis.WithJetStreamAPIPrefix("")} {
		_, err := aegis.Connect(t.Context(), s.ClientURL(), o)
		require.ErrorIs(t, err, aegis.ErrInvalidOption)
	}
}
