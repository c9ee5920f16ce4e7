package serve_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/serve"
)

const token = "correct-horse"

func byToken(c *serve.Config) { guarded(access.Config{Token: token})(c) }

func bearer(text string) give { return with("Authorization", "Bearer "+text) }

func basic(user, password string) give {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// With a token nothing that has data is answered without it, and the page is there to ask
// for it.
func TestToken(t *testing.T) {
	t.Parallel()
	m := start(t, everything, byToken)
	for _, path := range append([]string{"/metrics", "/api/v1/search?q=x", "/api/v1/openapi.json", lettersPath}, liveDocuments...) {
		a := m.ask(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusUnauthorized, a.status, path)
		require.Equal(t, []string{`Bearer realm="aegis monitor"`}, a.header.Values("WWW-Authenticate"))
		a.problem(t)
		a = m.ask(t, http.MethodGet, path, "", bearer(token))
		require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
		a = m.ask(t, http.MethodGet, path, "", with("Accept", "text/event-stream"))
		require.Equal(t, http.StatusUnauthorized, a.status, path)
	}
	require.Equal(t, http.StatusUnauthorized, m.ask(t, http.MethodPost, putBackPath, `{"sequences": [1]}`).status)
	for _, path := range []string{"/", "/app.js", "/healthz"} {
		require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, path, "").status, path)
	}
	limited := false
	for i := 0; i < 100 && !limited; i++ {
		a := m.ask(t, http.MethodGet, "/api/v1/overview", "", bearer("wrong-"+token))
		limited = a.status == http.StatusTooManyRequests
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusTooManyRequests}, a.status)
		require.Equal(t, limited, a.header.Get("Retry-After") != "")
	}
	require.True(t, limited, "guesses are not limited")
	require.NotContains(t, m.log.text(), token)
	require.Contains(t, m.log.text(), "a wrong token or password")
}

// With a password browsers ask for it before there is a page.
func TestPassword(t *testing.T) {
	t.Parallel()
	m := start(t, guarded(access.Config{User: "ann", Password: "right"}))
	for _, path := range []string{"/", "/app.js", "/api/v1/overview", "/metrics"} {
		a := m.ask(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusUnauthorized, a.status, path)
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Basic")
		require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, path, "", basic("ann", "right")).status, path)
	}
	require.Equal(t, http.StatusUnauthorized, m.ask(t, http.MethodGet, "/", "", basic("ann", "wrong")).status)
}

// The name that a proxy gives is in the log of what its user does, on one line.
func TestProxy(t *testing.T) {
	t.Parallel()
	m := start(t, everything, guarded(access.Config{ProxyHeader: "X-Forwarded-User"}))
	a := m.ask(t, http.MethodGet, "/api/v1/overview", "")
	require.Equal(t, http.StatusForbidden, a.status)
	require.NotContains(t, string(a.body), "Forwarded", "how to forge a name is not said")
	m.serveProbes(t)
	a = m.ask(t, http.MethodPost, callOfProbes, `{}`, with("X-Forwarded-User", "eve\u202e 1"))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, m.log.text(), `user="eve? 1"`)
}

// A page whose name leads to this machine is told nothing.
func TestRebinding(t *testing.T) {
	t.Parallel()
	m := start(t)
	evil := func(r *http.Request) { r.Host = "evil.example" }
	require.Equal(t, http.StatusMisdirectedRequest, m.ask(t, http.MethodGet, "/api/v1/overview", "", evil).status)
	require.Equal(t, http.StatusMisdirectedRequest, m.ask(t, http.MethodGet, "/", "", evil).status)
	require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, "/healthz", "", evil).status)
	local := func(r *http.Request) { r.Host = "localhost:1" }
	require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, "/api/v1/overview", "", local).status)
}
