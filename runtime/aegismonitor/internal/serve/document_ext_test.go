package serve_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/serve"
)

// liveDocuments are the addresses of live documents.
var liveDocuments = []string{
	"/api/v1/overview", "/api/v1/leaders", "/api/v1/work", "/api/v1/activity", "/api/v1/services/" + probes,
}

// Documents have what all users may do, a revision that grows, and a tag by which one that
// says the same is not sent again.
func TestDocuments(t *testing.T) {
	t.Parallel()
	m := start(t, func(c *serve.Config) { c.May.Act = true })
	revision := uint64(0)
	for _, path := range liveDocuments {
		a := m.ask(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		require.Contains(t, string(a.body), `"may":{"act":true,"call":false,"showPayloads":false}`)
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		tag := a.header.Get("ETag")
		require.NotEmpty(t, tag)
		again := m.ask(t, http.MethodGet, path, "", with("If-None-Match", `"other", `+tag))
		require.Equal(t, http.StatusNotModified, again.status, path)
		require.Empty(t, again.body)
		head := m.ask(t, http.MethodHead, path, "")
		require.Equal(t, http.StatusOK, head.status)
		require.Empty(t, head.body)
	}
	for range 3 {
		o := get[monitorapi.Overview](t, m, "/api/v1/overview")
		require.GreaterOrEqual(t, o.Revision, revision)
		revision = o.Revision
	}
	require.True(t, m.looks.Looked(interest.Figures), "a reader is one who looks")
}

// Answers are compressed for clients that want it.
func TestCompression(t *testing.T) {
	t.Parallel()
	m := start(t)
	for _, path := range []string{"/app.js", "/api/v1/openapi.json"} {
		plain := m.ask(t, http.MethodGet, path, "", with("Accept-Encoding", "gzip;q=0, br"))
		require.Empty(t, plain.header.Get("Content-Encoding"))
		zipped := m.ask(t, http.MethodGet, path, "", with("Accept-Encoding", "br, gzip"))
		require.Equal(t, "gzip", zipped.header.Get("Content-Encoding"))
		require.Contains(t, zipped.header.Values("Vary"), "Accept-Encoding")
		z, err := gzip.NewReader(bytes.NewReader(zipped.body))
		require.NoError(t, err)
		data, err := io.ReadAll(z)
		require.NoError(t, err)
		require.Equal(t, plain.body, data)
		require.Less(t, len(zipped.body), len(plain.body)/2)
	}
}

// The page is there with the types of its files, and browsers ask whether they have changed.
func TestPage(t *testing.T) {
	t.Parallel()
	m := start(t)
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
		"/app.css": "text/css; charset=utf-8", "/fonts/one.woff2": "font/woff2",
	} {
		a := m.ask(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, a.status, path)
		require.Equal(t, kind, a.header.Get("Content-Type"))
		require.Equal(t, "no-cache", a.header.Get("Cache-Control"))
		again := m.ask(t, http.MethodGet, path, "", with("If-None-Match", a.header.Get("ETag")))
		require.Equal(t, http.StatusNotModified, again.status)
	}
	for _, path := range []string{"/index.html", "/app.js/", "/fonts", "/fonts/"} {
		require.Equal(t, http.StatusNotFound, m.ask(t, http.MethodGet, path, "").status, path)
	}
}

// All answers, also errors, forbid what a page of somebody else could do with them.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	m := start(t)
	for _, path := range []string{"/", "/app.js", "/api/v1/overview", "/nothing", "/healthz", "/metrics"} {
		a := m.ask(t, http.MethodGet, path, "", with("Origin", "https://evil.example"))
		csp := a.header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'", path)
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
		require.Equal(t, "same-origin", a.header.Get("Cross-Origin-Opener-Policy"))
		for key := range a.header {
			require.False(t, strings.HasPrefix(key, "Access-Control-"), "%s has %s", path, key)
		}
	}
}

// What is no address of the monitor is not found, however it is written.
func TestForgedPaths(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	for _, path := range []string{
		"/nothing", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/overview", "/api/v1/overview/", "/api/v1/overview/x",
		"/..", "/../etc/passwd", "/api/../app.js", "/api/v1/./overview", "//api/v1/overview", "/api//v1/overview",
		"/%2e%2e/app.js", "/api%2fv1%2foverview", "/api/v1/services/..%2f..%2fapp.js", "/api/v1/services/%2e%2e",
		"/api/v1/services/", "/api/v1/services/a b", "/api/v1/services/a%20b", "/api/v1/services/a*", "/api/v1/services/%3E",
		"/api/v1/services/a..b", "/api/v1/services/.", "/api/v1/services/%00", "/api/v1/services/a%00b", "/api/v1/services/a%0d%0ab",
		"/api/v1/services/%3Cscript%3E", "/api/v1/services/%E2%80%AEabc", "/api/v1/services/" + strings.Repeat("a", 10_000),
		"/api/v1/services/" + strings.Repeat("a", 900), "/api/v1/deadletters/a-b", "/api/v1/deadletters/a%2Fb",
		"/api/v1/services/a/methods/b.c", "/api/v1/services/a/methods/%2A", "/api/v1/services/a/methods/b-c",
		"/api/v1/services/" + probes + "/methods/" + strings.Repeat("a", 300),
		"/api/v1/commands/a/b", "/api/v1/commands/a/..%2fb", "/api/v1/commands/a/b.c.d",
		`/api\v1\overview`, "/app.js%00", "/.git/config",
	} {
		status, body := m.raw(t, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		require.Contains(t, []string{"400", "404"}, status, "%.80s: %s", path, body)
		if strings.Contains(path, " ") || strings.Contains(path, `\`) {
			continue // which net/http refuses itself
		}
		require.Contains(t, body, `application/problem+json`, "%.80s", path)
	}
	for _, path := range []string{"/api/v1/overview?x=1", "/api/v1/search?q=a&q=b", "/api/v1/search?q=" + strings.Repeat("x", 201), "/api/v1/search?q=%zz"} {
		a := m.ask(t, http.MethodGet, "/healthz", "", func(r *http.Request) { r.URL.Opaque = path })
		require.Equal(t, http.StatusBadRequest, a.status, path)
		a.problem(t)
	}
}

// raw sends bytes and returns the status and the whole answer.
func (m *monitor) raw(t *testing.T, request string) (status, answer string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", m.http.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	data, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(data, []byte("HTTP/1.1 ")), "%q", data)
	return string(data[9:12]), string(data)
}

// Other methods are refused, with those that are taken.
func TestWrongMethods(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	for path, allow := range map[string]string{
		"/": "GET, HEAD", "/api/v1/overview": "GET, HEAD", "/metrics": "GET, HEAD", putBackPath: "POST", callOfProbes: "POST",
	} {
		for _, method := range []string{http.MethodDelete, http.MethodPut, http.MethodOptions, "FORGED"} {
			a := m.ask(t, method, path, "")
			require.Equal(t, http.StatusMethodNotAllowed, a.status, "%s %s", method, path)
			require.Equal(t, allow, a.header.Get("Allow"))
			a.problem(t)
		}
	}
}

// Health and readiness answer everybody, and say no more than they must.
func TestHealth(t *testing.T) {
	t.Parallel()
	m := start(t, byToken)
	require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, "/healthz", "").status)
	a := m.ask(t, http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, a.problem(t).Detail, "not ready: ")
}
