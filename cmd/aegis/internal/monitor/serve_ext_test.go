package monitor_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

var at = regexp.MustCompile(`^The monitor is at (https?://[^ ]+/) until Ctrl-C\.\n$`)

// start starts a monitor on a free port, and returns its address.
func start(t *testing.T, env []string, flags ...string) (p *clitest.Process, url string) {
	t.Helper()
	p = clitest.Start(t, env, append([]string{"monitor", "--listen", "127.0.0.1:0"}, flags...)...)
	found := at.FindStringSubmatch(p.Out().Await(t, "\n"))
	require.NotNil(t, found, p.Out())
	return p, found[1]
}

// stop is Ctrl-C.
func stop(t *testing.T, p *clitest.Process) clitest.Result {
	t.Helper()
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code, r.Err)
	assert.NotContains(t, r.Err, "goroutine")
	return r
}

// answer is that of a monitor to a request.
type answer struct {
	status     int
	kind, body string
}

func ask(t *testing.T, client *http.Client, url string, change func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	change(req)
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header.Get("Content-Type"), string(text)}
}

// plain returns a client that keeps no connection.
func plain() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

func unchanged(*http.Request) {}

// awaitOverview waits until the document satisfies a condition.
func awaitOverview(t *testing.T, url, what string, holds func(*monitorapi.Overview) bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(testservice.Patience); ; {
		a := ask(t, plain(), url+"api/v1/overview", unchanged)
		require.Equal(t, http.StatusOK, a.status, a.body)
		var o monitorapi.Overview
		require.NoError(t, json.Unmarshal([]byte(a.body), &o))
		if holds(&o) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			require.Fail(t, "not seen: "+what, a.body)
		}
	}
}

func connected(o *monitorapi.Overview) bool { return o.NATS.Connected }

func disconnected(o *monitorapi.Overview) bool { return !o.NATS.Connected }

func TestMonitorServesPageDocumentsAndMetrics(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	testservice.Serve(t, n)
	p, url := start(t, []string{"NATS_URL=" + n.URL()})
	for path, kind := range map[string]string{
		"": "text/html", "api/v1/overview": "application/json", "api/v1/openapi.json": "application/json", "metrics": "text/plain", "healthz": "",
	} {
		a := ask(t, plain(), url+path, unchanged)
		assert.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		assert.Contains(t, a.kind, kind, path)
	}
	awaitOverview(t, url, "the service is there", func(o *monitorapi.Overview) bool {
		return len(o.Services) == 1 && o.Services[0].Name == testservice.Service && !o.May.Act && !o.May.Call && !o.May.ShowPayloads
	})
	stop(t, p)

	p, url = start(t, []string{"NATS_URL=" + n.URL()}, "--allow-changes", "--allow-calls", "--show-payloads", "--path", "/ops/")
	assert.True(t, strings.HasSuffix(url, "/ops/"), url)
	awaitOverview(t, url, "everything is allowed", func(o *monitorapi.Overview) bool {
		return o.May.Act && o.May.Call && o.May.ShowPayloads
	})
	stop(t, p)
}

func TestMonitorPrintsItsAddressAsJSON(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	p := clitest.Start(t, []string{"NATS_URL=" + n.URL()}, "monitor", "--listen", "localhost:0", "--allow-calls", "-o", "json")
	var told struct {
		URL       string
		Changes   bool
		Calls     bool
		Payloads  bool
		Connected bool
	}
	require.NoError(t, json.Unmarshal([]byte(p.Out().Await(t, "\n")), &told))
	a := ask(t, plain(), told.URL+"healthz", unchanged)
	assert.Equal(t, http.StatusOK, a.status)
	assert.Equal(t, []bool{false, true, false, true}, []bool{told.Changes, told.Calls, told.Payloads, told.Connected})
	stop(t, p)
}

func TestCtrlCEndsTheMonitorAlthoughStreamsAreOpen(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	p, url := start(t, []string{"NATS_URL=" + n.URL()})
	for range 10 {
		firstEvent(t, url+"api/v1/overview")
	}
	stop(t, p)
}

// firstEvent follows a document until the end of the test, and returns when it has come.
func firstEvent(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := plain().Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() }) // the server may have gone
	lines := bufio.NewReader(res.Body)
	for line := ""; line != "event: document\n"; {
		line, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
}

func TestOnlyThoseWhoMayAreLetIn(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	env := []string{"NATS_URL=" + n.URL()}
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	token, password := write(t, "token", "s3cr3t-of-the-file\n"), write(t, "basic", "ops:pa:ss\n")
	for name, c := range map[string]struct {
		env   []string
		flags []string
		yes   func(*http.Request)
		no    func(*http.Request)
	}{
		"token of a file":       {env, []string{"--token-file", token}, bearer("s3cr3t-of-the-file"), bearer("s3cr3t")},
		"token of the variable": {append(env, "AEGIS_MONITOR_TOKEN=s3cr3t-of-env"), nil, bearer("s3cr3t-of-env"), unchanged},
		"the file goes first":   {append(env, "AEGIS_MONITOR_TOKEN=s3cr3t"), []string{"--token-file", token}, bearer("s3cr3t-of-the-file"), bearer("s3cr3t")},
		"user and password":     {env, []string{"--basic-auth-file", password}, basic("ops", "pa:ss"), basic("ops", "pa")},
		"header of a proxy": {
			env,
			[]string{"--proxy-header", "x-forwarded-user"},
			func(r *http.Request) { r.Header.Set("X-Forwarded-User", "bob"); r.Host = "monitor.example" }, unchanged,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, url := start(t, c.env, c.flags...)
			a := ask(t, plain(), url+"api/v1/overview", c.no)
			assert.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, a.status, a.body)
			assert.NotContains(t, a.body, "services")
			a = ask(t, plain(), url+"api/v1/overview", c.yes)
			assert.Equal(t, http.StatusOK, a.status, a.body)
			r := stop(t, p)
			for _, secret := range []string{"s3cr3t", "pa:ss"} {
				assert.NotContains(t, r.Out+r.Err, secret)
			}
		})
	}
}

func TestMonitorMayListenForOthers(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	env := []string{"NATS_URL=" + n.URL()}
	token := write(t, "token", "s3cr3t")
	for _, flags := range [][]string{{"--no-auth"}, {"--token-file", token, "--plain-http"}, {"--proxy-header", "X-Forwarded-User"}} {
		p := clitest.Start(t, env, append([]string{"monitor", "--listen", "0.0.0.0:0"}, flags...)...)
		assert.Regexp(t, at, p.Out().Await(t, "\n"))
		stop(t, p)
	}
}

func TestFileThatOthersCanReadIsTold(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode there")
	}
	n := aegistest.StartNATS(t)
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("s3cr3t"), 0o600))
	for mode, told := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		require.NoError(t, os.Chmod(path, mode))
		p, _ := start(t, []string{"NATS_URL=" + n.URL()}, "--token-file", path)
		assert.Equal(t, told, strings.Contains(stop(t, p).Err, "every user of this machine can read it"), mode)
	}
}

// A monitor on a wall starts before NATS, and outlives it.
func TestMonitorStartsWithoutNATSAndOutlivesIt(t *testing.T) {
	t.Parallel()
	l, err := embednats.Listen()
	require.NoError(t, err)
	port := portOf(l.Addr())
	require.NoError(t, l.Close())
	store := t.TempDir()
	p, url := start(t, []string{"NATS_URL=nats://" + l.Addr().String()})
	assert.Contains(t, p.Err().String(), "The monitor starts without NATS, and connects when it comes")
	awaitOverview(t, url, "there is no NATS yet", disconnected)
	a := ask(t, plain(), url+"readyz", unchanged)
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	for range 2 {
		server, err := embednats.Start(embednats.Options{Port: port, StoreDir: store})
		require.NoError(t, err)
		awaitOverview(t, url, "NATS is there", connected)
		server.Stop()
		awaitOverview(t, url, "NATS is gone", disconnected)
	}
	a = ask(t, plain(), url+"healthz", unchanged)
	assert.Equal(t, http.StatusOK, a.status, "the process is well")
	stop(t, p)
}
