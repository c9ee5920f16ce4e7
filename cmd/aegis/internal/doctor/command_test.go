package doctor

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func runPlain(t *testing.T) string {
	t.Helper()
	return runNATS(t, &server.Options{}).ClientURL()
}

func noEcho() nats.Option { return nats.NoEcho() }

func TestDoctorExaminesASystem(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	subscribe(t, conn)
	publish(t, conn, 1)
	r := clitest.Run(t, nil, "doctor", "-s", n.URL())
	assert.Equal(t, 0, r.Code, r.Err+r.Out)
	assert.Contains(t, r.Out, "✓ ok       connection.up")
	assert.Contains(t, r.Out, "? unknown  sync.unread")
	assert.Contains(t, r.Out, "0 errors, 0 warnings")

	send(t, conn, 1)
	stuck := []string{"doctor", "-s", n.URL(), "--check", "queues", "--stuck-after", "1ms", "--service", jobService}
	r = clitest.Run(t, nil, stuck...)
	assert.Equal(t, 1, r.Code, "an error was found")
	assert.Contains(t, r.Out, "✗ error    queues.stuck")
	assert.Contains(t, r.Out, "→ start a server of "+jobService)
	assert.Empty(t, r.Err, "the report has said all")
	r = clitest.Run(t, nil, append(stuck, "--fail-on", "never")...)
	assert.Equal(t, 0, r.Code)

	r = clitest.Run(t, nil, append(stuck, "-o", "json")...)
	assert.Equal(t, 1, r.Code)
	var report Report
	require.NoError(t, json.Unmarshal([]byte(r.Out), &report), r.Out)
	assert.Equal(t, Failure, report.Worst)
	require.Len(t, report.Checks, 1)
	assert.Equal(t, "queues.stuck", report.Checks[0].Findings[0].ID)
	assert.Equal(t, 1, report.Counts["error"])
}

func TestFailOnWarning(t *testing.T) {
	t.Parallel()
	url := runPlain(t) // without JetStream, which is a warning
	assert.Equal(t, 0, clitest.Run(t, nil, "doctor", "-s", url, "--check", "jetstream").Code)
	r := clitest.Run(t, nil, "doctor", "-s", url, "--check", "jetstream", "--fail-on", "warning")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Out, "! warning  jetstream.none")
}

func TestDoctorPrintsPermissionsThatNATSTakes(t *testing.T) {
	t.Parallel()
	r := clitest.Run(t, nil, "doctor", "--role", "server", "--service", jobService, "--print-permissions")
	require.Equal(t, 0, r.Code, r.Err)
	_, as := withConfig(t, "authorization { users = [ {user: all, password: pw}\n{user: server, password: pw\n"+r.Out+"} ] }")
	tried := clitest.Run(t, nil, "doctor", "-s", as("server"), "--check", "permissions", "--role", "server", "--service", jobService)
	assert.Equal(t, 0, tried.Code, tried.Out)
	assert.Contains(t, tried.Out, "permissions.allowed")
	tried = clitest.Run(t, nil, "doctor", "-s", as("server"), "--check", "permissions", "--role", "worker", "--service", jobService)
	assert.Equal(t, 1, tried.Code)
	assert.Contains(t, tried.Out, `→ add the line "aegis.res.aegistest.v1.JobService.>" to publish`)
	assert.NotContains(t, tried.Out, "pw@", "no password is shown")

	r = clitest.Run(t, nil, "doctor", "--role", "client", "--service", "a.v1.S", "--print-permissions", "-o", "json", "--namespace", "prod", "--js-domain", "hub")
	require.Equal(t, 0, r.Code, r.Err)
	var g grants
	require.NoError(t, json.Unmarshal([]byte(r.Out), &g))
	assert.Contains(t, g.Publish, "prod.call.a.v1.S.>")
	assert.Contains(t, g.Publish, "$JS.hub.API.STREAM.INFO.KV_prod-registry")
	assert.False(t, g.Responses)
}

// A program that is server, worker and publisher of a service is one user of NATS.
func TestOneUserHasThePermissionsOfSeveralRoles(t *testing.T) {
	t.Parallel()
	const several = "worker,publisher"
	r := clitest.Run(t, nil, "doctor", "--role", several, "--service", jobService, "--print-permissions")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "of a program that is worker and publisher of "+jobService)
	assert.Equal(t, 1, strings.Count(r.Out, `"$KV.aegis-descriptors.*"`), "each subject once")
	_, as := withConfig(t, "authorization { users = [ {user: all, password: pw}\n{user: several, password: pw\n"+r.Out+"} ] }")
	for _, role := range []string{"worker", "publisher", several} {
		tried := clitest.Run(t, nil, "doctor", "-s", as("several"), "--check", "permissions", "--role", role, "--service", jobService)
		assert.Equal(t, 0, tried.Code, tried.Out)
		assert.Contains(t, tried.Out, "permissions.allowed")
	}
	tried := clitest.Run(t, nil, "doctor", "-s", as("several"), "--check", "permissions", "--role", several+",subscriber", "--service", jobService)
	assert.Equal(t, 1, tried.Code, tried.Out)
}

// The users of docs/howto/authenticate.md have the permissions that are printed now.
func TestPageOnAuthenticationHasTheseFiles(t *testing.T) {
	t.Parallel()
	for file, role := range map[string]string{"orders.conf": "server", "billing.conf": "client"} {
		text, err := os.ReadFile("../../../../examples/howto/nats/" + file)
		require.NoError(t, err)
		r := clitest.Run(t, nil, "doctor", "--role", role, "--service", "howto.v1.OrderService", "--print-permissions")
		assert.Equal(t, r.Out, string(text), "write it anew: aegis doctor --role %s --service howto.v1.OrderService --print-permissions > examples/howto/nats/%s", role, file)
	}
}

func TestDoctorUsedWrongly(t *testing.T) {
	t.Parallel()
	for args, text := range map[string]string{
		"--check quues":                        "did you mean queues?",
		"--check nothing-like-it":              "use environment, connection, versions",
		"--role srver --service a.v1.S":        "did you mean server?",
		"--role server":                        "say with --service of which service",
		"--role server,worker":                 "say with --service of which service",
		"--role server,wrker --service a.v1.S": "did you mean worker?",
		"--print-permissions":                  "say with --role whose",
		"--service a..b":                       "no full name of a service",
		"--fail-on sometimes":                  "use warning, error or never",
		"--interval 1ms":                       "use 100ms or more",
		"--instance a.b":                       "use 1 to 64 characters",
		"--stuck-after -1s":                    "must not be negative",
	} {
		r := clitest.Run(t, nil, append([]string{"doctor"}, strings.Fields(args)...)...)
		assert.Equal(t, 2, r.Code, args)
		assert.Contains(t, r.Err, text, args)
		assert.Empty(t, r.Out)
	}
	r := clitest.Run(t, nil, "doctor", "-s", "nats://127.0.0.1:1")
	assert.Equal(t, 1, r.Code)
	assert.NotEmpty(t, r.Err)
}

func TestListOfChecks(t *testing.T) {
	t.Parallel()
	r := clitest.Run(t, nil, "doctor", "--list")
	require.Equal(t, 0, r.Code, r.Err)
	for _, c := range checks() {
		assert.Contains(t, r.Out, c.Name)
	}
	var rows []checkRow
	r = clitest.Run(t, nil, "doctor", "--list", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(r.Out), &rows))
	assert.Len(t, rows, len(checks()))
	assert.Contains(t, rows[0].IDs, "environment.detected")
	assert.Contains(t, rows[1].IDs, "connection.up")
}

// A watch prints what changes, and goes on when NATS is away and comes back.
func TestWatchPrintsWhatChanges(t *testing.T) {
	t.Parallel()
	o := embednats.Options{StoreDir: t.TempDir()}
	first, err := embednats.Start(o)
	require.NoError(t, err)
	t.Cleanup(first.Stop)
	url := first.ClientURL()
	p := clitest.Start(t, nil, "doctor", "-s", url, "--check", "void,connection", "--watch", "--interval", "100ms")
	p.Out().Await(t, "void.seen")
	spy := dial(t, url)
	sub, err := spy.Subscribe(">", func(*nats.Msg) {})
	require.NoError(t, err)
	p.Out().Await(t, " new     ! warning  void.hidden")
	p.Out().Await(t, " gone    ✓ ok       void.seen")
	require.NoError(t, sub.Unsubscribe())
	p.Out().Await(t, " gone    ! warning  void.hidden")
	spy.Close()

	o.Port = first.Addr().(*net.TCPAddr).Port
	first.Stop()
	p.Out().Await(t, "the connection to NATS is lost")
	second, err := embednats.Start(o)
	require.NoError(t, err)
	t.Cleanup(second.Stop)
	out := p.Out().Await(t, "the connection to NATS is back")
	assert.Equal(t, 1, strings.Count(out, "connection.up"), "what stays is not told again")
	assert.NotContains(t, out, "connection.lost")
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code)
	assert.Empty(t, r.Err)
}

func TestWatchAsJSON(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	p := clitest.Start(t, nil, "doctor", "-s", n.URL(), "--check", "connection", "--watch", "-o", "json")
	line := p.Out().Await(t, "\n")
	var e event
	require.NoError(t, json.Unmarshal([]byte(line), &e))
	assert.Equal(t, eventNew, e.Event)
	assert.Equal(t, "connection.up", e.Finding.ID)
	p.Interrupt(t)
	assert.Equal(t, 130, p.Wait(t).Code)
}

// The table of docs/doctor.md is that of the code: write it with UPDATE_DOCTOR_DOC=1.
func TestTheTableOfTheDocumentIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "..", "docs", "doctor.md")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(data)
	const head = "| check | looks at | reads | ids |\n|---|---|---|---|\n"
	before, rest, found := strings.Cut(text, head)
	require.True(t, found)
	_, after, _ := strings.Cut("\n"+rest, "\n\n")
	var b strings.Builder
	for _, c := range checks() {
		b.WriteString("| `" + c.Name + "` | " + c.Looks + " | " + c.Reads + " | " + "`" + strings.Join(c.IDs, "`, `") + "` |\n")
	}
	want := before + head + b.String() + "\n" + after
	if os.Getenv("UPDATE_DOCTOR_DOC") != "" {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	assert.Equal(t, want, text)
	assert.LessOrEqual(t, strings.Count(text, "\n"), 80)
}
