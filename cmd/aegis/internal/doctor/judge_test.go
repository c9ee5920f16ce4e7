package doctor

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ids(findings []Finding) []string {
	var list []string
	for _, f := range findings {
		list = append(list, f.ID+" "+f.Severity.String())
	}
	return list
}

func TestJudgeVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		seen []seenServer
		want []string
	}{
		"all works":     {[]seenServer{{"a", "2.12.4"}}, []string{"versions.calls ok", "versions.commands ok"}},
		"a candidate":   {[]seenServer{{"a", "2.12.0-RC.1"}}, []string{"versions.calls ok", "versions.commands ok"}},
		"no commands":   {[]seenServer{{"a", "2.11.9"}}, []string{"versions.calls ok", "versions.commands warning"}},
		"no metadata":   {[]seenServer{{"a", "2.9.25"}}, []string{"versions.calls ok", "versions.partitions info", "versions.commands warning"}},
		"nothing":       {[]seenServer{{"a", "2.8.4"}}, []string{"versions.calls error"}},
		"the oldest":    {[]seenServer{{"a", "2.12.4"}, {"b", "2.11.0"}}, []string{"versions.mixed warning", "versions.calls ok", "versions.commands warning"}},
		"one not seen":  {[]seenServer{{"a", "2.12.4"}, {"b:4222", ""}}, []string{"versions.unseen unknown", "versions.calls ok", "versions.commands ok"}},
		"none was seen": {[]seenServer{{"a", "dev"}}, []string{"versions.unseen unknown"}},
	} {
		assert.Equal(t, c.want, ids(judgeVersions(c.seen)), name)
	}
	f := judgeVersions([]seenServer{{"a", "2.12.4"}, {"b", "2.11.0"}})
	assert.Contains(t, f[2].Text, "nats-server 2.11.0 (b)")
	assert.Contains(t, f[2].Remedy, "2.12.0 or later")
}

func TestJudgeConnection(t *testing.T) {
	t.Parallel()
	fine := connection{url: "nats://127.0.0.1:4222", server: "n1", version: "2.12.4", rtt: time.Millisecond, echo: true, maxPayload: 1 << 20}
	assert.Equal(t, []string{"connection.up ok"}, ids(judgeConnection(&fine)))
	bad := connection{url: "nats://nats.example:4222", version: "2.12.4", rtt: time.Second, maxPayload: 1 << 10}
	assert.Equal(t, []string{
		"connection.up ok", "connection.slow warning", "connection.plain warning", "connection.echo error", "connection.max_payload warning",
	}, ids(judgeConnection(&bad)))
	bad.tls = true
	assert.NotContains(t, ids(judgeConnection(&bad)), "connection.plain warning")
}

func TestAConnectionThatHearsNothingOfItself(t *testing.T) {
	t.Parallel()
	s := runPlain(t)
	find(t, examine(t, session(t, s), Scope{}, "connection"), "connection.up", "")
	f := find(t, examine(t, session(t, s, noEcho()), Scope{}, "connection"), "connection.echo", "")
	assert.Equal(t, Failure, f.Severity)
	assert.Contains(t, f.Remedy, "nats.NoEcho")
}

func TestAConnectionThatIsClosed(t *testing.T) {
	t.Parallel()
	s := session(t, runPlain(t))
	s.nc.Close()
	assert.Equal(t, Failure, find(t, examine(t, s, Scope{}, "connection"), "connection.lost", "").Severity)
}

func TestJudgeReplicas(t *testing.T) {
	t.Parallel()
	info := func(replicas int, cluster *jetstream.ClusterInfo) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{Config: jetstream.StreamConfig{Name: "s", Replicas: replicas}, Cluster: cluster}
	}
	for name, c := range map[string]struct {
		servers int
		stream  *jetstream.StreamInfo
		want    []string
	}{
		"one server":  {1, info(1, nil), []string{"replicas.single info"}},
		"one of many": {3, info(1, nil), []string{"replicas.one warning"}},
		"three":       {3, info(3, &jetstream.ClusterInfo{Name: "C", Leader: "a"}), []string{"replicas.ready ok"}},
		"no leader":   {3, info(3, &jetstream.ClusterInfo{Name: "C"}), []string{"replicas.leaderless error"}},
		"away": {3, info(3, &jetstream.ClusterInfo{Name: "C", Leader: "a", Replicas: []*jetstream.PeerInfo{
			{Name: "b", Offline: true}, {Name: "c", Current: true},
		}}), []string{"replicas.behind warning"}},
		"behind": {3, info(3, &jetstream.ClusterInfo{Name: "C", Leader: "a", Replicas: []*jetstream.PeerInfo{
			{Name: "b", Active: time.Minute}, {Name: "c", Active: time.Second},
		}}), []string{"replicas.behind warning"}},
	} {
		assert.Equal(t, c.want, ids(judgeReplicas(c.servers, []*jetstream.StreamInfo{c.stream})), name)
	}
	assert.Empty(t, judgeReplicas(3, nil))
}

func TestJudgeLeaders(t *testing.T) {
	t.Parallel()
	assert.Empty(t, judgeLeaders(nil, nil), "nobody knows of any group")
	found := judgeLeaders(nil, map[string][]string{"a.v1.S.default": {"one", "two"}})
	require.Len(t, found, 1)
	assert.Equal(t, "leaders.none", found[0].ID)
	assert.Contains(t, found[0].Text, "2 instances stand for election")
	assert.Contains(t, found[0].Remedy, "one, two")
}

func TestChangesBetweenTwoLooks(t *testing.T) {
	t.Parallel()
	at := time.Now()
	before := []Finding{ok("a.b", "", "x"), warning("c.d", "s", "3 wait"), failure("e.f", "1", "y")}
	after := []Finding{ok("a.b", "", "x"), failure("c.d", "s", "3 wait"), failure("e.f", "2", "y")}
	var got []string
	for _, e := range changes(before, after, at) {
		got = append(got, e.Event+" "+e.Finding.key()+" "+e.Finding.Severity.String())
	}
	assert.Equal(t, []string{"changed c.d s error", "new e.f 2 error", "gone e.f 1 error"}, got)
	after[1] = warning("c.d", "s", "4 wait")
	after[2] = before[2]
	assert.Empty(t, changes(before, after, at), "another number is no change")
}

func TestFindingsFitANarrowTerminal(t *testing.T) {
	t.Parallel()
	f := failure("queues.stuck", "a-stream a-consumer", "3 commands of Work wait, the first for a minute:\x1b[31m nobody asks for them").
		so("start a server that has the method")
	for _, width := range []int{40, 80, 120} {
		text := (&painter{width: width}).finding(&f)
		for line := range strings.Lines(text) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), width, "%q", line)
		}
		assert.Contains(t, text, "✗ error")
		assert.NotContains(t, text, "\x1b")
	}
	assert.Len(t, strings.Split(strings.TrimSpace((&painter{}).finding(&f)), "\n"), 2, "one line each where nobody looks")
}

func TestSymbolsTellSeveritiesApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for s := range severityNames {
		severity := Severity(s)
		assert.False(t, seen[severity.Symbol()])
		seen[severity.Symbol()] = true
		data, err := severity.MarshalJSON()
		require.NoError(t, err)
		var back Severity
		require.NoError(t, back.UnmarshalJSON(data))
		assert.Equal(t, severity, back)
	}
	assert.Error(t, new(Severity).UnmarshalJSON([]byte(`"bad"`)))
}

func TestSizesAndDurations(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "1 MiB", size[int64](1<<20))
	assert.Equal(t, "1.5 KiB", size[int64](1536))
	assert.Equal(t, "7 B", size[int64](7))
	assert.Equal(t, "3 days", shortDuration(80*time.Hour))
	assert.Equal(t, "2h5m", shortDuration(2*time.Hour+5*time.Minute))
	assert.Equal(t, "1m30s", shortDuration(90*time.Second))
	assert.Equal(t, "a, b, c, d and 1 more", some([]string{"a", "b", "c", "d", "e"}))
}
