package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/serve"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	patience     = 30 * time.Second
	jobs         = aegistestv1aegis.JobServiceName
	probes       = aegistestv1aegis.ProbeServiceName
	streams      = aegistestv1aegis.StreamServiceName
	broadcasts   = aegistestv1aegis.BroadcastServiceName
	happenings   = aegistestv1aegis.EventServiceName
	pageText     = "<!doctype html><title>Aegis</title>"
	secretText   = "the-secret-of-the-order"
	textRequest  = `{"text": "` + secretText + `"}`
	callOfProbes = "/api/v1/services/" + probes + "/methods/Do/call"
)

// logged is a log that a test can read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// monitor is a monitor that is served over HTTP.
type monitor struct {
	conn   *aegis.Conn
	board  *board.Board
	looks  *interest.Interest
	server *serve.Server
	http   *httptest.Server
	log    *logged
}

var page = fstest.MapFS{
	"index.html":      {Data: []byte(pageText)},
	"app.js":          {Data: []byte(strings.Repeat("let x = 1;\n", 1000))},
	"app.css":         {Data: []byte("body {}")},
	"fonts/one.woff2": {Data: []byte("font")},
}

// start serves a monitor of a NATS server of its own.
func start(t *testing.T, changes ...func(*serve.Config)) *monitor {
	t.Helper()
	return startOn(t, aegistest.Connect(t, aegis.WithLogger(slog.New(slog.DiscardHandler))), changes...)
}

func startOn(t *testing.T, conn *aegis.Conn, changes ...func(*serve.Config)) *monitor {
	t.Helper()
	m := &monitor{conn: conn, looks: &interest.Interest{}, log: &logged{}}
	m.board = board.New(board.Config{Namespace: conn.Namespace(), Urgent: func() { m.server.Urgent() }}, time.Now())
	c := serve.Config{
		Conn: conn, Board: m.board, Interest: m.looks, Guard: access.New(access.Config{}),
		Logger: slog.New(slog.NewTextHandler(m.log, nil)), Page: page,
		Metrics: func(streams func() int) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, "streams "+strings.Repeat("x", streams())+"\n")
			})
		},
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	m.server, err = serve.New(c)
	require.NoError(t, err)
	t.Cleanup(m.server.Close)
	m.http = httptest.NewServer(m.server)
	t.Cleanup(m.http.Close)
	return m
}

func everything(c *serve.Config) {
	c.May = monitorapi.May{Act: true, Call: true, ShowPayloads: true}
}

func guarded(a access.Config) func(*serve.Config) {
	return func(c *serve.Config) { c.Guard = access.New(a) }
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) problem(t *testing.T) monitorapi.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), "%s", a.body)
	var p monitorapi.Problem
	require.NoError(t, json.Unmarshal(a.body, &p))
	require.Equal(t, a.status, p.Status)
	require.NotEmpty(t, p.Detail)
	return p
}

// give changes a request before it is sent.
type give func(*http.Request)

func with(key, value string) give { return func(r *http.Request) { r.Header.Set(key, value) } }

// ask sends a request. A body is sent as JSON.
func (m *monitor) ask(t *testing.T, method, path, body string, gives ...give) *answer {
	t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, m.http.URL+path, from)
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept-Encoding", "identity")
	for _, g := range gives {
		g(r)
	}
	return m.send(t, r)
}

func (m *monitor) send(t *testing.T, r *http.Request) *answer {
	t.Helper()
	client := &http.Client{
		Transport:     m.http.Client().Transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return &answer{status: res.StatusCode, header: res.Header, body: data}
}

// get asks for a document that has to be there.
func get[T any](t *testing.T, m *monitor, path string, gives ...give) *T {
	t.Helper()
	a := m.ask(t, http.MethodGet, path, "", gives...)
	require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
	return read[T](t, a)
}

func post[T any](t *testing.T, m *monitor, path, body string, gives ...give) *T {
	t.Helper()
	a := m.ask(t, http.MethodPost, path, body, gives...)
	require.Equal(t, http.StatusOK, a.status, "%s: %s", path, a.body)
	return read[T](t, a)
}

func read[T any](t *testing.T, a *answer) *T {
	t.Helper()
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var x T
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&x))
	return &x
}

// worker fails all commands for good, but for those that are to be done.
type worker struct{ failing func(text string) bool }

func (w worker) Work(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	if w.failing(req.GetText()) {
		return nil, aegis.Permanent(aegis.Errorf(aegis.CodeUnavailable, "no limits for order %d", len(req.GetText())))
	}
	return &testv1.WorkResponse{Text: req.GetText()}, nil
}

func (w worker) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return nil, aegis.Permanent(aegis.Errorf(aegis.CodeDataLoss, "no book"))
}

func (m *monitor) serveJobs(t *testing.T, failing func(text string) bool) {
	t.Helper()
	aegistest.Serve(t, m.conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, worker{failing})
	})
}

// probe answers calls.
type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probe) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	return &testv1.DoResponse{Text: req.GetText() + call.RequestHeader().Get("tenant")}, nil
}

func (probe) Get(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
	return nil, aegis.Errorf(aegis.CodeNotFound, "no such thing")
}

type teller struct{ name string }

func (x teller) Tell(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
	return &testv1.TellResponse{InstanceName: x.name}, nil
}

func (m *monitor) serveProbes(t *testing.T) {
	t.Helper()
	aegistest.Serve(t, m.conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, aegis.WithUnimplemented())
	})
}

func (m *monitor) serveBroadcasts(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		aegistest.Serve(t, m.conn, func(srv *aegis.Server) error {
			return aegistestv1aegis.RegisterBroadcastServiceServer(srv, teller{name})
		}, aegis.WithInstance(name))
	}
}

// sendJobs sends commands with these texts, and returns their ids.
func (m *monitor) sendJobs(t *testing.T, texts ...string) []string {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(m.conn)
	require.NoError(t, err)
	var ids []string
	for _, text := range texts {
		c, err := client.Work(t.Context(), &testv1.WorkRequest{Text: text})
		require.NoError(t, err)
		ids = append(ids, c.ID())
	}
	return ids
}

// awaitLetters waits until so many commands are dead.
func (m *monitor) awaitLetters(t *testing.T, n int) []*aegis.DeadLetter {
	t.Helper()
	var list []*aegis.DeadLetter
	require.Eventually(t, func() bool {
		list = nil
		for d, err := range m.conn.DeadLetters(t.Context(), jobs) {
			if err != nil {
				return false
			}
			list = append(list, d)
		}
		return len(list) == n
	}, patience, 20*time.Millisecond)
	return list
}
