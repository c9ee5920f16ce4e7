package monitorhttp_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorhttp"
)

// streams is a monitor with an open stream below /stream, one that writes without end below
// /flood, and the path of the request elsewhere.
type streams struct {
	end  chan struct{}
	once sync.Once
	open sync.WaitGroup
}

func newStreams() *streams { return &streams{end: make(chan struct{})} }

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Done()
	switch r.URL.Path {
	case "/stream":
		_, _ = io.WriteString(w, "begins\n")
		_ = http.NewResponseController(w).Flush()
		<-s.end
	case "/flood":
		for block := strings.Repeat("x", 1<<20); ; {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	default:
		_, _ = io.WriteString(w, r.URL.Path)
	}
}

func (s *streams) Close() {
	s.once.Do(func() { close(s.end) })
	s.open.Wait()
}

// serve serves a monitor. The returned function ends it, and returns when it has ended.
func serve(t *testing.T, o monitorhttp.Options) (url string, end func()) {
	t.Helper()
	l, err := monitorhttp.Listen("127.0.0.1:0")
	require.NoError(t, err)
	o.Logger = slog.New(slog.DiscardHandler)
	s := monitorhttp.New(l, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(end)
	return s.URL(), end
}

// client returns a client that keeps no connection.
func client() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

func TestEndDoesNotWaitForOpenStreams(t *testing.T) {
	t.Parallel()
	url, end := serve(t, monitorhttp.Options{Monitor: newStreams()})
	var open []io.Reader
	for range 20 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"stream", http.NoBody)
		require.NoError(t, err)
		res, err := client().Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "begins\n", line)
		open = append(open, res.Body)
	}
	end()
	for _, stream := range open {
		_, err := io.ReadAll(stream)
		require.NoError(t, err, "the stream ends well")
	}
}

func TestEndCutsOffWhoReadsNothing(t *testing.T) {
	t.Parallel()
	url, end := serve(t, monitorhttp.Options{Monitor: newStreams()})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.Trim(strings.TrimPrefix(url, "http:"), "/"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1)) // the response has begun
	require.NoError(t, err)
	end()
}

func TestMonitorIsBelowItsPath(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, monitorhttp.Options{Monitor: newStreams(), Path: "/ops/aegis"})
	base, found := strings.CutSuffix(url, "/ops/aegis/")
	require.True(t, found, url)
	for path, want := range map[string]string{
		"/ops/aegis/":                "/",
		"/ops/aegis/api/v1/overview": "/api/v1/overview",
		"/ops/aegis":                 "/", // redirected
	} {
		status, body := get(t, base+path)
		assert.Equal(t, http.StatusOK, status, path)
		assert.Equal(t, want, body, path)
	}
	for _, path := range []string{"/", "/ops", "/ops/aegisx"} {
		status, _ := get(t, base+path)
		assert.Equal(t, http.StatusNotFound, status, path)
	}
}

func TestAddressesThatCannotBeHad(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for address, want := range map[string]string{
		taken.Addr().String(): "listens on " + taken.Addr().String() + " already",
		"127.0.0.1":           "it has the form HOST:PORT, such as " + monitorhttp.DefaultAddress,
		"192.0.2.1:0":         "this machine has no address 192.0.2.1:0",
		"127.0.0.1:99999":     "listen on 127.0.0.1:99999",
	} {
		_, err := monitorhttp.Listen(address)
		assert.ErrorContains(t, err, want)
	}
}

func TestURLOfAListenerOnAllAddressesHasAName(t *testing.T) {
	t.Parallel()
	l, err := monitorhttp.Listen("0.0.0.0:0")
	require.NoError(t, err)
	defer l.Close()
	assert.False(t, monitorhttp.Loopback(l))
	m := newStreams()
	url := monitorhttp.New(l, monitorhttp.Options{Monitor: m, Logger: slog.New(slog.DiscardHandler)}).URL()
	assert.NotContains(t, url, "0.0.0.0")
	assert.NotContains(t, url, "[::]")
}

func TestOneDefaultAddressServesOneMonitor(t *testing.T) {
	t.Parallel()
	first, err := monitorhttp.ListenDefault()
	require.NoError(t, err)
	defer first.Close()
	second, err := monitorhttp.ListenDefault()
	require.NoError(t, err)
	defer second.Close()
	assert.True(t, monitorhttp.Loopback(second))
	assert.NotEqual(t, first.Addr().String(), second.Addr().String())
}
