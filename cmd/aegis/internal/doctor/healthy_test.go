package doctor

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The streams, buckets and consumers that the runtime makes are what the checks want: the
// tables of this package and those of the runtime say the same.
func TestASystemThatTheRuntimeHasMadeHasNoFinding(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveJobs(t, conn, done)
	serveLeaders(t, conn)
	serveLeaders(t, n.Connect(t))
	subscribe(t, conn)
	send(t, conn, 3)
	publish(t, conn, 3)

	found := becomes(t, session(t, n.URL()), Scope{}, func(found []Finding) bool {
		return has(found, "leaders.ready", OK) && has(found, "queues.empty", OK) && worst(found) <= Unknown
	})
	for _, f := range found {
		require.NotEqual(t, Failure, f.Severity, f.Text)
		if f.Severity == Unknown {
			assert.Equal(t, "sync.unread", f.ID, "%s", f.Text)
		}
	}
	for _, id := range []string{
		"connection.up", "versions.calls", "versions.commands", "jetstream.account", "void.seen", "buckets.ready", "streams.ready",
		"consumers.ready", "dead.none", "registry.ready",
	} {
		assert.Equal(t, OK, find(t, found, id, "").Severity)
	}
	assert.Contains(t, find(t, found, "streams.ready", "").Text, "3 services")
	assert.Equal(t, Info, find(t, found, "replicas.single", "").Severity)

	js := jetStream(t, n.URL())
	for kind := range js.StreamNames(t.Context()).Name() {
		k, service := parseStreamName("aegis", kind)
		if k != kindNone {
			assert.Contains(t, []string{jobService, eventService, leaderService}, service)
			assert.Contains(t, streamNames("aegis", service), kind)
		}
	}
}

func TestScopeOfOneService(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveJobs(t, conn, done)
	subscribe(t, conn)
	send(t, conn, 1)
	found := becomes(t, session(t, n.URL()), Scope{Service: eventService}, func(found []Finding) bool {
		return has(found, "streams.ready", OK)
	}, "streams", "consumers", "registry")
	assert.Contains(t, find(t, found, "streams.ready", "").Text, "1 service")
	near := examine(t, session(t, n.URL()), Scope{Service: "aegistest.v1.JobServce"}, "registry")
	assert.Contains(t, find(t, near, "registry.empty", "").Text, "did you mean "+jobService+"?")
	assert.False(t, slices.ContainsFunc(found, func(f Finding) bool { return f.Severity > Info }))
}
