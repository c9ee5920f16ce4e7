package serve_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/collect"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/openapi"
)

// contract checks requests and answers against the OpenAPI document.
type contract struct {
	router routers.Router
	// left are the operations that were not answered well yet.
	left map[string]bool
}

func newContract(t *testing.T) *contract {
	t.Helper()
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	require.NoError(t, err)
	c := &contract{left: make(map[string]bool)}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			c.left[method+" "+path] = true
		}
	}
	doc.Servers = nil // the tests mount the monitor at the root
	c.router, err = legacy.NewRouter(doc)
	require.NoError(t, err)
	return c
}

// ask sends a request, and checks it and its answer. A request that the document forbids
// must be answered with an error.
func (c *contract) ask(t *testing.T, m *monitor, method, path, body string, want int, gives ...give) *answer {
	t.Helper()
	a := m.ask(t, method, path, body, gives...)
	require.Equal(t, want, a.status, "%s %s: %s", method, path, a.body)
	r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	route, params, err := c.router.FindRoute(r)
	require.NoError(t, err, "%s %s", method, path)
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
		require.GreaterOrEqual(t, a.status, 400, "%s %s is forbidden by the document: %v", method, path, err)
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Options: options,
	}
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), out), "%s %s: %s", method, path, a.body)
	if a.status == http.StatusOK {
		delete(c.left, method+" "+route.Path)
	}
	return a
}

// Every route answers as the OpenAPI document says, with data and with errors.
func TestEveryRouteAgainstTheDocument(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	m := start(t, everything)
	m.serveProbes(t)
	m.serveJobs(t, always)
	m.serveBroadcasts(t, "one", "two")
	ids := m.sendJobs(t, "a", "bb", "ccc")
	dead := m.awaitLetters(t, 3)
	reading := collect.Start(m.conn, m.board, m.looks, collect.Config{Round: m.server.Publish})
	t.Cleanup(reading.Stop)
	require.Eventually(t, func() bool {
		o := get[monitorapi.Overview](t, m, "/api/v1/overview")
		w := get[monitorapi.Work](t, m, "/api/v1/work")
		return len(o.Services) >= 3 && len(w.DeadLetters) > 0 && len(w.Streams) > 0 && m.board.Ready()
	}, patience, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		return m.ask(t, http.MethodGet, "/api/v1/services/"+jobs+"/history", "").status == http.StatusOK
	}, patience, 100*time.Millisecond)

	const ok, bad, missing = http.StatusOK, http.StatusBadRequest, http.StatusNotFound
	const GET, POST = http.MethodGet, http.MethodPost
	for _, path := range append([]string{"/api/v1/services/" + jobs, "/api/v1/services/no.such.Service"}, liveDocuments...) {
		a := c.ask(t, m, GET, path, "", ok)
		require.NotContains(t, string(a.body), "NaN")
		c.ask(t, m, GET, path+"?x=1", "", bad)
		c.ask(t, m, GET, path, "", http.StatusNotModified, with("If-None-Match", "*"))
	}
	for path, status := range map[string]int{
		"/api/v1/services/" + jobs + "/history":                        ok,
		"/api/v1/services/" + jobs + "/history?method=Work&since=1":    ok,
		"/api/v1/services/" + jobs + "/history?method=Work&instance=x": bad,
		"/api/v1/services/" + jobs + "/history?since=x":                bad,
		"/api/v1/services/" + jobs + "/history?method=Nothing":         missing,
		"/api/v1/services/no.such.Service/history":                     missing,
		"/api/v1/services/a-b":                                         missing,
		methodPath(probes, "Do"):                                       ok,
		methodPath(jobs, "Work"):                                       ok,
		methodPath(broadcasts, "Tell"):                                 ok,
		methodPath(probes, "Nothing"):                                  missing,
		methodPath("no.such.Service", "Do"):                            missing,
		"/api/v1/commands/" + jobs + "/" + ids[0]:                      ok,
		"/api/v1/commands/" + jobs + "/a.b":                            missing,
		"/api/v1/commands/" + jobs + "/nonsense":                       bad,
		lettersPath:                                                    ok,
		lettersPath + "?method=Work&limit=2":                           ok,
		lettersPath + "?limit=0":                                       bad,
		"/api/v1/deadletters/no.such.Service":                          ok,
		"/api/v1/search?q=job":                                         ok,
		"/api/v1/search?q=" + ids[0]:                                   ok,
		"/api/v1/search":                                               ok,
		"/api/v1/search?p=job":                                         bad,
		"/api/v1/openapi.json":                                         ok,
		"/api/v1/openapi.json?v=2":                                     bad,
		"/metrics":                                                     ok,
		"/healthz":                                                     ok,
		"/readyz":                                                      ok,
	} {
		c.ask(t, m, GET, path, "", status)
	}
	found := get[monitorapi.Results](t, m, "/api/v1/search?q="+ids[0])
	require.NotEmpty(t, found.Results)
	require.Equal(t, "command", found.Results[0].Kind)

	c.ask(t, m, POST, callOfProbes, `{"request": {"text": "x"}, "metadata": {"a": ["b"]}, "timeoutMs": 10000}`, ok)
	c.ask(t, m, POST, callOfProbes, `{}`, ok)
	c.ask(t, m, POST, callOfProbes, `{"request": {"x": "x"}}`, bad)
	c.ask(t, m, POST, callOfProbes, `{"instance": 1}`, bad)
	c.ask(t, m, POST, callOfProbes, `{"other": 1}`, bad)
	c.ask(t, m, POST, callOfProbes, `{}`, http.StatusUnsupportedMediaType, with("Content-Type", "text/plain"))
	c.ask(t, m, POST, callOfProbes, `{"request": "`+strings.Repeat("x", 3<<20)+`"}`, http.StatusRequestEntityTooLarge)
	c.ask(t, m, POST, methodPath(probes, "Get")+"/call", `{}`, ok)
	c.ask(t, m, POST, methodPath(broadcasts, "Tell")+"/call", `{}`, ok)
	c.ask(t, m, POST, methodPath(jobs, "Once")+"/call", `{}`, ok)

	c.ask(t, m, POST, putBackPath, fmt.Sprintf(`{"method": "Work", "reason": %q, "upTo": %d, "count": 1}`, limits, dead[2].Sequence), http.StatusConflict)
	c.ask(t, m, POST, putBackPath, fmt.Sprintf(`{"sequences": [%d, 99999]}`, dead[0].Sequence), ok)
	c.ask(t, m, POST, deletePath, fmt.Sprintf(`{"method": "Work", "reason": %q, "upTo": %d, "count": 2}`, limits, dead[2].Sequence), ok)
	c.ask(t, m, POST, deletePath, `{}`, bad)
	require.Empty(t, c.left, "operations without an answer")
}

// What a monitor refuses is as the OpenAPI document says.
func TestRefusalsAgainstTheDocument(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	m := start(t)
	c.ask(t, m, http.MethodPost, putBackPath, `{"sequences": [1]}`, http.StatusForbidden)
	c.ask(t, m, http.MethodPost, deletePath, `{"sequences": [1]}`, http.StatusForbidden)
	c.ask(t, m, http.MethodPost, callOfProbes, `{}`, http.StatusForbidden)
	c.ask(t, m, http.MethodGet, methodPath(probes, "Do"), "", http.StatusForbidden)
	c.ask(t, m, http.MethodGet, "/readyz", "", http.StatusServiceUnavailable)
	locked := start(t, guarded(access.Config{Token: token, User: "ann", Password: "right"}))
	for operation := range c.left {
		method, path, _ := strings.Cut(operation, " ")
		path = strings.NewReplacer("{service}", probes, "{method}", "Do", "{id}", "a.b").Replace(path)
		if path == "/healthz" || path == "/readyz" {
			continue
		}
		body := ""
		if method == http.MethodPost {
			body = `{}`
		}
		a := c.ask(t, locked, method, path, body, http.StatusUnauthorized)
		require.Len(t, a.header.Values("WWW-Authenticate"), 2)
	}
	locked.server.Close()
	c.ask(t, locked, http.MethodGet, "/api/v1/overview", "", http.StatusServiceUnavailable)
}
