package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func runNATS(t *testing.T, o *server.Options) *embednats.Server {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := embednats.Run(o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func TestWithoutJetStream(t *testing.T) {
	t.Parallel()
	s := runNATS(t, &server.Options{})
	found := examine(t, session(t, s.ClientURL()), Scope{})
	assert.Equal(t, Warning, find(t, found, "jetstream.none", "").Severity)
	for _, id := range []string{
		"streams.unread", "consumers.unread", "buckets.unread", "registry.unread", "leaders.unread",
		"queues.unread", "dead.unread", "replicas.unread",
	} {
		assert.Equal(t, Unknown, find(t, found, id, "").Severity)
	}
	quiet(t, found, Warning)
}

func TestLimitsOfAnAccount(t *testing.T) {
	t.Parallel()
	_, as := withConfig(t, `accounts { A { users: [{user: all, password: pw}]
		jetstream: {max_streams: 5, max_consumers: 100, max_file: 10MB, max_ack_pending: 100, max_bytes_required: true} } }`)
	js := jetStream(t, as("all"))
	for i := range 5 {
		if i == 4 {
			found := examine(t, session(t, as("all")), Scope{}, "jetstream")
			assert.Equal(t, Warning, find(t, found, "jetstream.full", "streams").Severity)
		}
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fmt.Sprint("s", i), Subjects: []string{fmt.Sprint("s.", i)}, MaxBytes: 1000})
		require.NoError(t, err)
	}
	found := examine(t, session(t, as("all")), Scope{}, "jetstream")
	f := find(t, found, "jetstream.full", "streams")
	assert.Equal(t, Failure, f.Severity)
	assert.Contains(t, f.Remedy, "max_streams")
	assert.Equal(t, Info, find(t, found, "jetstream.max_bytes_required", "").Severity)
	assert.Contains(t, find(t, found, "jetstream.max_ack_pending", "").Text, "100 messages")
}

// A stream and a subscriber to everything hide that nobody listens.
func TestVoidIsHidden(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	s := session(t, n.URL())
	find(t, examine(t, s, Scope{}, "void"), "void.seen", "")
	js := jetStream(t, n.URL())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"aegis.call.>"}})
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SILENT", Subjects: []string{"aegis.all.>"}, NoAck: true})
	require.NoError(t, err)
	found := examine(t, s, Scope{}, "void")
	f := find(t, found, "void.hidden", "AUDIT")
	assert.Contains(t, f.Text, "the stream AUDIT stores")
	assert.Contains(t, f.Remedy, "nats stream edit AUDIT")
	assert.Contains(t, find(t, found, "void.hidden", "SILENT").Text, "the stream SILENT stores", "it does not answer")
	assert.Len(t, found, 2)
	require.NoError(t, js.DeleteStream(t.Context(), "AUDIT"))
	require.NoError(t, js.DeleteStream(t.Context(), "SILENT"))

	spy := dial(t, n.URL())
	_, err = spy.Subscribe(">", func(*nats.Msg) {})
	require.NoError(t, err)
	require.NoError(t, spy.Flush())
	found = examine(t, s, Scope{}, "void")
	require.Len(t, found, 1)
	for _, kind := range voidKinds() {
		assert.Contains(t, found[0].Text, "aegis."+kind+".>")
	}
	assert.Contains(t, found[0].Text, "somebody subscribes to all of that")
}

func TestSyncIntervalIsReadWhereItCan(t *testing.T) {
	t.Parallel()
	s := runNATS(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), HTTPHost: "127.0.0.1", HTTPPort: -1, SyncInterval: time.Minute, ServerName: "here"})
	url := "http://" + s.MonitorAddr().String()
	look := session(t, s.ClientURL())
	f := find(t, examine(t, look, Scope{}, "sync"), "sync.unread", "")
	assert.Equal(t, Unknown, f.Severity)
	assert.Contains(t, f.Remedy, "sync_interval: always")
	f = find(t, examine(t, look, Scope{Monitor: url}, "sync"), "sync.interval", "here")
	assert.Equal(t, Warning, f.Severity)
	assert.Contains(t, f.Text, "every 1m0s")
	find(t, examine(t, look, Scope{Monitor: url + "/nowhere"}, "sync"), "sync.unread", "")

	_, as := withConfig(t, `accounts { A { users: [{user: all, password: pw}], jetstream: enabled }, SYS { users: [{user: sys, password: pw}] } }
		system_account: SYS
		jetstream { sync_interval: always }`)
	system := examine(t, session(t, as("sys")), Scope{}, "sync")
	assert.Equal(t, OK, find(t, system, "sync.always", "").Severity, "a user of the system account asks NATS")
	find(t, examine(t, session(t, as("all")), Scope{}, "sync"), "sync.unread", "")
}

// cluster starts three NATS servers, and returns their URLs.
func cluster(t *testing.T) []string {
	t.Helper()
	var urls []string
	var routes []string
	for i := range 3 {
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "C", Host: "127.0.0.1", Port: -1},
		}
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		o.NoLog, o.NoSigs, o.Host, o.Port = true, true, "127.0.0.1", server.RANDOM_PORT
		s, err := embednats.Run(o)
		require.NoError(t, err)
		t.Cleanup(s.Stop)
		routes = append(routes, "nats://"+s.ClusterAddr().String())
		urls = append(urls, s.ClientURL())
	}
	return urls
}

func TestOneReplicaInAClusterOfThree(t *testing.T) {
	t.Parallel()
	urls := cluster(t)
	js := jetStream(t, urls[0])
	cfg := jetstream.StreamConfig{
		Name: streamName("aegis", kindEvents, "a.v1.S"), Subjects: []string{"aegis.log.a.v1.S.>"}, Discard: jetstream.DiscardNew, AllowDirect: true,
	}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := js.CreateOrUpdateStream(ctx, cfg)
		return err == nil
	}, patience, 50*time.Millisecond, "the cluster makes a stream")
	s := session(t, urls[0])
	found := becomes(t, s, Scope{}, func(found []Finding) bool { return has(found, "replicas.one", Warning) }, "replicas")
	assert.Contains(t, find(t, found, "replicas.one", "").Text, "3 NATS servers")
	cfg.Replicas = 3
	_, err := js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	becomes(t, s, Scope{}, func(found []Finding) bool { return has(found, "replicas.ready", OK) }, "replicas")
	seen := examine(t, s, Scope{}, "versions")
	assert.Equal(t, []string{"versions.calls ok", "versions.commands ok"}, ids(seen), "all servers greet with their version")
}
