package serve_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

// reader reads the events of a stream.
type reader struct {
	response *http.Response
	lines    *bufio.Scanner
}

// follow opens a stream over a connection of its own.
func (m *monitor) follow(t *testing.T, path string) *reader {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.http.URL+path, nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	res, err := transport.RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 8<<20)
	return &reader{res, lines}
}

// next returns the next event; nil at the end.
func (r *reader) next(t *testing.T) *monitorapi.Overview {
	t.Helper()
	event := map[string]string{}
	for r.lines.Scan() {
		line := r.lines.Text()
		if line == "" && event["data"] != "" {
			require.Equal(t, "document", event["event"])
			var o monitorapi.Overview
			require.NoError(t, json.Unmarshal([]byte(event["data"]), &o))
			require.NotEmpty(t, event["id"])
			return &o
		}
		key, value, _ := strings.Cut(line, ": ")
		event[key] = value
	}
	return nil
}

// act has something happen that is to be shown at once.
func (m *monitor) act(text string) {
	m.board.Acted(time.Now(), monitorapi.Event{Kind: monitorapi.EventAction, Level: monitorapi.LevelOK, Text: text})
	m.server.Urgent()
}

// A stream has the present document first, and then comes again when something has changed.
func TestStream(t *testing.T) {
	t.Parallel()
	m := start(t)
	r := m.follow(t, "/api/v1/overview")
	require.Equal(t, "text/event-stream", r.response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", r.response.Header.Get("Cache-Control"))
	require.Empty(t, r.response.Header.Get("Content-Encoding"))
	first := r.next(t)
	require.False(t, first.NATS.Connected)
	require.True(t, m.looks.Looked(interest.Figures))
	m.board.Connected(time.Now(), board.Server{Name: "n1", JetStream: true})
	for o := first; !o.NATS.Connected; {
		o = r.next(t)
		require.NotNil(t, o)
		require.Greater(t, o.Revision, first.Revision)
	}
	m.server.Close()
	require.Eventually(t, func() bool { return r.next(t) == nil }, patience, time.Millisecond, "the stream ends with the monitor")
}

// There may be so many streams; more are told to come later, and all others go on.
func TestAThousandStreams(t *testing.T) {
	t.Parallel()
	m := start(t)
	const all = 1000
	var mu sync.Mutex
	var open []*reader
	refused := 0
	var opening sync.WaitGroup
	for range all {
		opening.Go(func() {
			r := m.follow(t, "/api/v1/activity")
			mu.Lock()
			defer mu.Unlock()
			if r.response.StatusCode == http.StatusOK {
				open = append(open, r)
				return
			}
			refused++
			if r.response.StatusCode != http.StatusServiceUnavailable || r.response.Header.Get("Retry-After") == "" {
				t.Errorf("a stream too many has the status %d", r.response.StatusCode)
			}
		})
	}
	opening.Wait()
	require.Len(t, open, live.MaxWatchers)
	require.Equal(t, all-live.MaxWatchers, refused)
	require.Equal(t, http.StatusOK, m.ask(t, http.MethodGet, "/api/v1/overview", "").status, "documents without streams")
	m.act("hello")
	for _, r := range open {
		for found := false; !found; {
			require.True(t, r.lines.Scan(), "the stream has ended")
			found = strings.Contains(r.lines.Text(), "hello")
		}
	}
	require.NoError(t, open[0].response.Body.Close())
	require.Eventually(t, func() bool {
		return m.follow(t, "/api/v1/work").response.StatusCode == http.StatusOK
	}, patience, 50*time.Millisecond, "there is room again")
}

// A reader that does not read holds up nobody, not even the end of the monitor.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	m := start(t)
	for range 20 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", m.http.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
		_, err = io.WriteString(conn, "GET /api/v1/activity HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
		require.NoError(t, err)
	}
	for range 2000 { // documents that no buffer on the way takes
		m.board.Acted(time.Now(), monitorapi.Event{Kind: monitorapi.EventAction, Text: strings.Repeat("long ", 50)})
	}
	quick := m.follow(t, "/api/v1/activity")
	for i := range 20 {
		text := fmt.Sprintf("the news %d.", i)
		m.act(text)
		for found := false; !found; {
			require.True(t, quick.lines.Scan(), "the stream has ended: %v", quick.lines.Err())
			found = strings.Contains(quick.lines.Text(), text)
		}
	}
	closed := make(chan struct{})
	go func() {
		m.server.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("slow readers hold up the end of the monitor")
	}
}

// stuck is a connection whose reader takes nothing.
type stuck struct {
	*httptest.ResponseRecorder
	deadline chan time.Time // the first one
	passed   chan struct{}  // closed when one is over
	once     sync.Once
}

func (s *stuck) Write([]byte) (int, error) {
	<-s.passed
	return 0, os.ErrDeadlineExceeded
}

func (s *stuck) SetWriteDeadline(at time.Time) error {
	if !at.After(time.Now()) {
		s.once.Do(func() { close(s.passed) })
	}
	select {
	case s.deadline <- at:
	default:
	}
	return nil
}

// Each event has to be taken within some time, so that readers that are gone without a word
// are dropped.
func TestWritesHaveDeadlines(t *testing.T) {
	t.Parallel()
	m := start(t)
	w := &stuck{ResponseRecorder: httptest.NewRecorder(), deadline: make(chan time.Time, 1), passed: make(chan struct{})}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/overview", nil).WithContext(t.Context())
	r.Header.Set("Accept", "text/event-stream")
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.server.ServeHTTP(w, r)
	}()
	at := <-w.deadline
	require.WithinDuration(t, time.Now(), at, time.Minute)
	m.server.Close()
	<-done
}
