package doctor

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
)

func printed(t *testing.T, name, service string) string {
	t.Helper()
	r, err := roleNamed(name)
	require.NoError(t, err)
	e := newExpander("aegis", defaultAPIPrefix, "_INBOX", &Scope{Service: service})
	return permissionsBlock(&r, &e)
}

// usersOf returns a configuration with a user for each role of a service, named by role.
func usersOf(t *testing.T, service string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("authorization { users = [\n{user: all, password: pw}\n" +
		"{user: none, password: pw, permissions: {publish: [\"x\"], subscribe: [\"_INBOX.>\"]}}\n" +
		"{user: deaf, password: pw, permissions: {publish: [\">\"], subscribe: [\"x\"]}}\n")
	for _, r := range roles() {
		fmt.Fprintf(&b, "{user: %s, password: pw\n%s}\n", r.name, printed(t, r.name, service))
	}
	b.WriteString("] }\n")
	return b.String()
}

// A user with the permissions that are printed for a role has what the role needs, as far
// as that can be tried; one that lacks a line is told the line.
func TestPrintedPermissionsPassTheTrial(t *testing.T) {
	t.Parallel()
	_, as := withConfig(t, usersOf(t, jobService))
	for _, r := range roles() {
		s := session(t, as(r.name))
		found := examine(t, s, Scope{Role: r.name, Service: jobService}, "permissions")
		require.Len(t, found, 1, "%s: %s", r.name, texts(found))
		assert.Equal(t, "permissions.allowed", found[0].ID, r.name)

		refused := examine(t, session(t, as("none")), Scope{Role: r.name, Service: jobService}, "permissions")
		e := newExpander("aegis", defaultAPIPrefix, "_INBOX", &Scope{Service: jobService})
		want := 0
		for _, p := range e.expanded(&r) {
			for _, subject := range append(slices.Clone(p.publish), p.subscribe...) {
				beat := strings.HasPrefix(subject, "aegis.beat.") && slices.Contains(p.publish, subject)
				if subject == "_INBOX.>" || beat {
					continue // allowed, or not tried without another subject
				}
				want++
				f := slices.IndexFunc(refused, func(f Finding) bool {
					return f.Subject == subject && strings.Contains(f.Remedy, fmt.Sprintf("%q", subject))
				})
				assert.GreaterOrEqual(t, f, 0, "%s: %s is not told", r.name, subject)
			}
		}
		assert.Positive(t, want)
	}
}

func TestOneMissingLineIsTold(t *testing.T) {
	t.Parallel()
	block := printed(t, "server", jobService)
	for _, c := range []struct{ line, id string }{
		{`"aegis.call.aegistest.v1.JobService.* aegis"`, "permissions.subscribe"},
		{`"aegis.beat.aegistest.v1.JobService.*"`, "permissions.publish"}, // heard by watchers: tried by tracing
		{`"$KV.aegis-registry.aegistest.v1.JobService.*"`, "permissions.publish"},
		{`"$JS.API.STREAM.CREATE.KV_aegis-leaders"`, "permissions.publish"},
	} {
		require.Contains(t, block, c.line)
		lacking := strings.Replace(block, "    "+c.line+"\n", "", 1)
		_, as := withConfig(t, "authorization { users = [ {user: all, password: pw}, {user: some, password: pw\n"+lacking+"} ] }")
		found := examine(t, session(t, as("some")), Scope{Role: "server", Service: jobService}, "permissions")
		require.Len(t, found, 1, texts(found))
		assert.Equal(t, c.id, found[0].ID)
		assert.Equal(t, strings.Trim(c.line, `"`), found[0].Subject)
		assert.Contains(t, found[0].Remedy, c.line)
		optional := strings.Contains(c.line, "leaders")
		assert.Equal(t, optional, found[0].Severity == Warning, "%v", found[0])
	}
}

// heard collects what a subscriber to everything and the streams get.
func TestTrialsReachNobodyAndAreNotStored(t *testing.T) {
	t.Parallel()
	n, as := withConfig(t, usersOf(t, jobService))
	_ = n
	conn := connect(t, as("all"))
	serveJobs(t, conn, done)
	serveLeaders(t, connect(t, as("all")))
	subscribe(t, connect(t, as("all")))
	send(t, conn, 1)
	publish(t, conn, 1)
	becomes(t, session(t, as("all")), Scope{}, func(found []Finding) bool {
		return has(found, "leaders.ready", OK) && !has(found, "queues.behind", Info)
	}, "leaders", "queues")
	js := jetStream(t, as("all"))
	before := lastSequences(t, js)
	for _, kind := range []string{"results", "events"} { // what a purge would take
		require.Positive(t, before["aegis-"+kind+"-aegistest-v1-"+map[string]string{"results": "JobService", "events": "EventService"}[kind]].messages)
	}

	var mu sync.Mutex
	var beats []string
	spy := dial(t, as("all"))
	_, err := spy.Subscribe("aegis.beat.>", func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		beats = append(beats, string(msg.Data))
	})
	require.NoError(t, err)
	require.NoError(t, spy.Flush())
	for _, service := range []string{jobService, eventService, leaderService} {
		for _, r := range roles() {
			found := examine(t, session(t, as("all")), Scope{Role: r.name, Service: service}, "permissions")
			require.Equal(t, "permissions.allowed", found[0].ID, texts(found))
		}
	}
	require.NoError(t, spy.Flush())
	mu.Lock()
	defer mu.Unlock()
	for _, beat := range beats {
		assert.Contains(t, beat, `"record"`, "only heartbeats of instances arrive")
	}
	after := lastSequences(t, js)
	for name := range before {
		if !strings.HasPrefix(name, "KV_") { // servers write there by themselves
			assert.Equal(t, before[name], after[name], name)
		}
	}
	assert.Len(t, after, len(before), "no stream was made")
}

type sequences struct{ last, messages uint64 }

func lastSequences(t *testing.T, js jetstream.JetStream) map[string]sequences {
	t.Helper()
	found := make(map[string]sequences)
	for info := range js.ListStreams(t.Context()).Info() {
		found[info.Config.Name] = sequences{info.State.LastSeq, info.State.Msgs}
	}
	return found
}

// violations counts what NATS refuses of a program.
type violations struct {
	mu   sync.Mutex
	text strings.Builder
}

func (v *violations) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.Write(p)
}

func (v *violations) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

// The permissions that are printed are enough for programs in that role: nothing is
// refused to them while they do all they do.
func TestProgramsWorkWithPrintedPermissions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		service string
		run     func(t *testing.T, as func(role string) *aegis.Conn)
	}{
		{jobService, func(t *testing.T, as func(string) *aegis.Conn) {
			t.Helper()
			serveJobs(t, as("worker"), done)
			send(t, as("sender"), 3)
		}},
		{eventService, func(t *testing.T, as func(string) *aegis.Conn) {
			t.Helper()
			subscribe(t, as("subscriber"))
			publish(t, as("publisher"), 3)
		}},
		{leaderService, func(t *testing.T, as func(string) *aegis.Conn) {
			t.Helper()
			serveLeaders(t, as("worker"))
			serveLeaders(t, as("worker"))
		}},
	} {
		t.Run(c.service, func(t *testing.T) {
			t.Parallel()
			_, as := withConfig(t, usersOf(t, c.service))
			var log violations
			c.run(t, func(role string) *aegis.Conn {
				return connect(t, as(role), aegis.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			})
			want := []string{"queues.empty"}
			if c.service == leaderService {
				want = []string{"leaders.ready"}
			}
			becomes(t, session(t, as("monitor")), Scope{}, func(found []Finding) bool {
				return !slices.ContainsFunc(want, func(id string) bool { return !has(found, id, OK) }) && has(found, "consumers.ready", OK)
			}, "queues", "leaders", "consumers", "registry")
			assert.NotContains(t, log.String(), "ermission", "nothing is refused")
		})
	}
}

// The role monitor sees all that the checks read.
func TestTheMonitorMayReadEverything(t *testing.T) {
	t.Parallel()
	_, as := withConfig(t, usersOf(t, jobService))
	conn := connect(t, as("all"))
	serveJobs(t, conn, done)
	serveLeaders(t, conn)
	send(t, conn, 1)
	found := becomes(t, session(t, as("monitor")), Scope{}, func(found []Finding) bool { return has(found, "leaders.ready", OK) })
	for _, f := range found {
		if f.Severity == Unknown {
			assert.Equal(t, "sync.unread", f.ID, texts([]Finding{f}))
		}
	}
}

// A user who may read nothing learns what could not be read, and by which line it could.
func TestAUserWithoutPermissionsGetsUnknown(t *testing.T) {
	t.Parallel()
	_, as := withConfig(t, usersOf(t, jobService))
	conn := connect(t, as("all"))
	serveJobs(t, conn, done)
	found := examine(t, session(t, as("none")), Scope{})
	for id, subject := range map[string]string{
		"jetstream.account": "$JS.API.INFO", "streams.unread": "$JS.API.STREAM.LIST", "consumers.unread": "$JS.API.STREAM.LIST",
		"buckets.unread": "$JS.API.STREAM.INFO.KV_aegis-leaders", "registry.unread": "$JS.API.STREAM.INFO.KV_aegis-registry", "void.unknown": "aegis.*._void.*",
		"leaders.unread": "$JS.API.STREAM.INFO.KV_aegis-leaders", "queues.unread": "$JS.API.STREAM.LIST", "dead.unread": "$JS.API.STREAM.LIST",
		"replicas.unread": "$JS.API.STREAM.LIST",
	} {
		f := find(t, found, id, "")
		assert.Equal(t, Unknown, f.Severity)
		assert.Contains(t, f.Text+f.Remedy, subject)
	}
	quiet(t, found, Unknown)
	assert.Equal(t, OK, find(t, found, "connection.up", "").Severity)

	deaf := examine(t, session(t, as("deaf")), Scope{}, "jetstream", "streams")
	assert.Contains(t, find(t, deaf, "streams.unread", "").Remedy, "subscribe to \"_INBOX.")
}

// A user who may look at the streams of one service need not list all of them.
func TestStreamsOfOneServiceByName(t *testing.T) {
	t.Parallel()
	_, as := withConfig(t, `authorization { users = [ {user: all, password: pw}
		{user: some, password: pw, permissions: {publish: ["$JS.API.STREAM.INFO.*"], subscribe: ["_INBOX.>"]}} ] }`)
	conn := connect(t, as("all"))
	serveJobs(t, conn, done)
	send(t, conn, 1)
	find(t, examine(t, session(t, as("some")), Scope{Service: jobService}, "streams"), "streams.ready", "")
	find(t, examine(t, session(t, as("some")), Scope{}, "streams"), "streams.unread", "")
}
