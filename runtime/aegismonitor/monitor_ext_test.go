package aegismonitor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const patience = 60 * time.Second

func silent() aegismonitor.Option {
	return aegismonitor.WithLogger(slog.New(slog.DiscardHandler))
}

func connect(t *testing.T) *aegis.Conn {
	t.Helper()
	return aegistest.Connect(t, aegis.WithLogger(slog.New(slog.DiscardHandler)))
}

func newMonitor(t *testing.T, conn *aegis.Conn, opts ...aegismonitor.Option) *aegismonitor.Monitor {
	t.Helper()
	m, err := aegismonitor.New(conn, append([]aegismonitor.Option{silent()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func get(t *testing.T, url string) (status int, at *neturl.URL, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	http.DefaultClient.CloseIdleConnections()
	return res.StatusCode, res.Request.URL, string(data)
}

// Options that cannot be meant are errors.
func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, o := range []aegismonitor.Option{
		aegismonitor.WithBearerToken(""),
		aegismonitor.WithBearerToken("two words"),
		aegismonitor.WithBasicAuth("", ""),
		aegismonitor.WithBasicAuth("ann", ""),
		aegismonitor.WithBasicAuth("", "secret"),
		aegismonitor.WithProxyHeader(""),
		aegismonitor.WithProxyHeader("Authorization"),
	} {
		_, err := aegismonitor.New(conn, o)
		require.ErrorContains(t, err, "aegismonitor: ")
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := aegismonitor.New(nil)
	require.Error(t, err)
	m, err := aegismonitor.New(conn, aegismonitor.WithLogger(nil), aegismonitor.WithBearerToken("t"), aegismonitor.WithBasicAuth("a", "b"))
	require.NoError(t, err)
	m.Close()
	m.Close()
}

// A monitor works under any path, and leads to its page from there without a slash.
func TestMounts(t *testing.T) {
	t.Parallel()
	m := newMonitor(t, connect(t))
	mux := http.NewServeMux()
	mux.Handle("/deep/monitor/", http.StripPrefix("/deep/monitor", m))
	mux.Handle("/bare", http.StripPrefix("/bare", m))
	mux.Handle("/bare/", http.StripPrefix("/bare", m))
	url := serve(t, mux)
	root := serve(t, m)
	for _, at := range []string{url + "/deep/monitor", url + "/deep/monitor/", url + "/bare?x=1", root + "/"} {
		status, page, body := get(t, at)
		require.Equal(t, http.StatusOK, status, at)
		require.Contains(t, strings.ToLower(body), "<!doctype html>", at)
		require.True(t, strings.HasSuffix(page.Path, "/"), "%s is relative to %s", at, page)
		status, _, body = get(t, beside(t, page, "app.js"))
		require.Equal(t, http.StatusOK, status)
		require.NotEmpty(t, body)
		status, _, _ = get(t, beside(t, page, "api/v1/overview"))
		require.Equal(t, http.StatusOK, status)
	}
}

type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probe) Do(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
	return &testv1.DoResponse{}, nil
}

// What happens in NATS is in the stream of a document, and the stream ends with the monitor.
func TestAStreamFollowsTheServices(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	m := newMonitor(t, conn)
	url := serve(t, m)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/overview", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	next := func() *monitorapi.Overview {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var o monitorapi.Overview
				require.NoError(t, json.Unmarshal([]byte(data), &o))
				return &o
			}
		}
		return nil
	}
	first := next()
	require.NotNil(t, first)
	require.Empty(t, first.Services)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, aegis.WithUnimplemented())
	})
	revision := first.Revision
	for deadline := time.Now().Add(patience); ; {
		o := next()
		require.NotNil(t, o, "the stream has ended")
		require.Greater(t, o.Revision, revision)
		revision = o.Revision
		if len(o.Services) == 1 && o.Services[0].Running == 1 {
			break
		}
		require.True(t, time.Now().Before(deadline), "the service is not there: %+v", o)
	}
	status, _, _ := get(t, url+"/readyz")
	require.Equal(t, http.StatusOK, status)
	m.Close()
	require.Eventually(t, func() bool { return next() == nil }, patience, time.Millisecond, "the stream ends with the monitor")
	status, _, _ = get(t, url+"/healthz")
	require.Equal(t, http.StatusServiceUnavailable, status, "a monitor that is closed")
}

// beside returns an address that is relative to another one.
func beside(t *testing.T, at *neturl.URL, relative string) string {
	t.Helper()
	u, err := at.Parse(relative)
	require.NoError(t, err)
	return u.String()
}
