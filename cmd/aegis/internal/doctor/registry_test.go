package doctor

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/health"
)

// record is a value of the registry as another instance might have written it.
func record(t *testing.T, service, name string, edit func(*wire.Instance)) []byte {
	t.Helper()
	v := 1
	r := &wire.Instance{
		Version: &v, Service: service, Instance: name, Process: "P" + name, Incarnation: 1, Change: 1, State: "RUNNING", ServiceVersion: "1.0.0",
		Started: time.Now().Add(-time.Minute), HeartbeatMS: 2000, Methods: []string{"Work"}, Patterns: map[string]string{"Work": "command"},
	}
	edit(r)
	data, err := r.Encode()
	require.NoError(t, err)
	return data
}

func TestRegistryThatHasAllSortsOfValues(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveJobs(t, n.Connect(t), done, aegis.WithInstance("sick"), aegis.WithCheck("db", func(context.Context) health.Result {
		return health.Result{Unhealthy: true, Reason: "connection refused"}
	}))
	js := jetStream(t, n.URL())
	put := func(key string, data []byte) {
		_, err := js.Publish(t.Context(), "$KV.aegis-registry."+key, data)
		require.NoError(t, err)
	}
	put("a.v1.S.foreign", []byte(`{"hello":"world"}`))
	put("a.v1.S.newer", []byte(`{"v":2,"process":"x"}`))
	put("a.v1.S.one", record(t, "a.v1.S", "one", func(*wire.Instance) {}))
	put("a.v1.S.two", record(t, "a.v1.S", "two", func(r *wire.Instance) {
		r.ServiceVersion, r.Patterns, r.Hidden = "2.0.0", map[string]string{"Work": "single_active_command"}, true
	}))
	put("a.v1.S.old", record(t, "a.v1.S", "old", func(r *wire.Instance) { r.Patterns = nil; r.Methods = nil }))
	put("a.v1.S.ahead", record(t, "a.v1.S", "ahead", func(r *wire.Instance) { r.Started = time.Now().Add(time.Hour) }))

	found := becomes(t, session(t, n.URL()), Scope{}, func(found []Finding) bool { return has(found, "registry.unhealthy", Warning) }, "registry")
	assert.Contains(t, find(t, found, "registry.foreign", "a.v1.S.foreign").Text, "foreign")
	assert.Contains(t, find(t, found, "registry.foreign", "a.v1.S.newer").Text, "2")
	assert.Equal(t, Warning, find(t, found, "registry.unhealthy", jobService+".sick").Severity)
	assert.Equal(t, Warning, find(t, found, "registry.hidden", "a.v1.S.two").Severity)
	assert.Contains(t, find(t, found, "registry.versions", "a.v1.S").Text, "1.0.0, 2.0.0")
	assert.Contains(t, find(t, found, "registry.runtimes", "a.v1.S").Text, "old")
	f := find(t, found, "registry.patterns", "a.v1.S.Work")
	assert.Equal(t, Failure, f.Severity)
	assert.Contains(t, f.Text, "single_active_command at two")
	assert.Contains(t, find(t, found, "registry.clock", "a.v1.S.ahead").Text, "at least")
	assert.Contains(t, find(t, found, "registry.ready", "").Text, "5 instances of 2 services")

	find(t, examine(t, session(t, n.URL()), Scope{Service: jobService}, "registry"), "registry.unhealthy", jobService+".sick")
}

// Records that nobody renews are those of lost processes. NATS keeps the time of a message,
// so that its age is judged on values.
func TestRecordsThatNobodyRenews(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := entry{key: "a.v1.S.one", data: record(t, "a.v1.S", "one", func(*wire.Instance) {}), time: now.Add(-time.Minute)}
	found := judgeRegistry(instancesOf([]entry{e}, now))
	require.Len(t, found, 1)
	assert.Equal(t, "registry.lost", found[0].ID)
	e.time = now.Add(-30 * time.Second)
	assert.Equal(t, "registry.ready", judgeRegistry(instancesOf([]entry{e}, now))[0].ID)
	e.data = record(t, "a.v1.S", "one", func(r *wire.Instance) { r.Started = now.Add(-29 * time.Second) })
	assert.Equal(t, "registry.ready", judgeRegistry(instancesOf([]entry{e}, now))[0].ID, "less than 2 s ahead may be the way to NATS")
}

func TestLeadersInTheirBucket(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveLeaders(t, conn, aegis.WithInstance("one"))
	s := session(t, n.URL())
	found := becomes(t, s, Scope{}, func(found []Finding) bool { return has(found, "leaders.ready", OK) }, "leaders")
	assert.Contains(t, find(t, found, "leaders.alone", leaderService+".default").Text, "one leads")

	// Somebody else writes a value that is no record, a record of a service that is gone, and
	// one whose candidates run.
	js := jetStream(t, n.URL())
	stream, err := js.Stream(t.Context(), "KV_aegis-leaders")
	require.NoError(t, err)
	key := func(group string) string {
		return "$KV.aegis-leaders." + group + "." + jsonNumber(t, stream.CachedInfo().Created.UnixNano())
	}
	_, err = js.Publish(t.Context(), key("b.v1.S.default"), []byte("mine"))
	require.NoError(t, err)
	released := election.Record{
		Instance: "x", Process: "Px", Term: 1, ServerID: "N", Since: time.Now(), Lease: 2 * time.Second, Window: 100 * time.Millisecond, Released: true,
	}
	data, err := released.Encode()
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), key("c.v1.S.default"), data)
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "$KV.aegis-registry.d.v1.S.one", record(t, "d.v1.S", "one", func(r *wire.Instance) {
		r.Patterns = map[string]string{"Work": "single_active:main"}
	}))
	require.NoError(t, err)
	found = examine(t, s, Scope{}, "leaders")
	f := find(t, found, "leaders.foreign", "b.v1.S.default")
	assert.Equal(t, Failure, f.Severity)
	assert.Contains(t, f.Remedy, "nats kv del")
	assert.Contains(t, find(t, found, "leaders.gone", "").Text, "c.v1.S.default")
	assert.Equal(t, Failure, find(t, found, "leaders.none", "d.v1.S.main").Severity)
	find(t, found, "leaders.ready", "")
}

func jsonNumber(t *testing.T, n int64) string {
	t.Helper()
	text, err := json.Marshal(n)
	require.NoError(t, err)
	return string(text)
}

func TestLeaseOfALeader(t *testing.T) {
	t.Parallel()
	g := leaderGroup{record: election.Record{Lease: 2 * time.Second, ServerID: "N"}, age: time.Second}
	assert.True(t, g.leads())
	g.age = 5 * time.Second
	assert.False(t, g.leads())
	g.age, g.record.ServerID = 0, ""
	assert.False(t, g.leads(), "vacant")
}
