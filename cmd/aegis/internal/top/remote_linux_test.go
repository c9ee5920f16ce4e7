package top

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

const (
	enter  = "\r"
	escape = "\x1b"
)

// distant is a monitor elsewhere that serves documents of the test.
type distant struct {
	http.ServeMux

	cut     atomic.Bool // refuses streams
	streams atomic.Int32
	breaks  chan struct{} // a value ends a stream
}

func newDistant(documents map[string]any) *distant {
	d := &distant{breaks: make(chan struct{})}
	for path, document := range documents {
		data, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		d.HandleFunc("GET /below/api/v1/"+path, func(w http.ResponseWriter, r *http.Request) { d.stream(w, r, data) })
	}
	return d
}

func (d *distant) stream(w http.ResponseWriter, r *http.Request, data []byte) {
	if r.Header.Get("Authorization") != "Bearer secret" {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"status":401,"title":"Unauthorized","detail":"the token is wrong\u001b[2J"}`)
		return
	}
	if d.cut.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	d.streams.Add(1)
	defer d.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprintf(w, "event: document\nid: 1\ndata: %s\n\n", data)
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-d.breaks:
	}
}

func TestViewOfARunningMonitor(t *testing.T) {
	t.Parallel()
	d := newDistant(map[string]any{
		"overview": sampleOverview(), "services/" + orders: sampleDetail(300), "work": sampleWork(), "activity": sampleActivity(),
		"leaders": &monitorapi.Leaders{Header: header(), Leaders: []monitorapi.Leadership{sampleLeader()}},
	})
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	s := clitest.StartScreen(t, 80, 24, []string{"NO_COLOR="}, "top", "--monitor", server.URL+"/below", "--token-file", token)
	s.AwaitText(t, "▲ One thing needs attention")
	assert.Contains(t, s.Out().String(), "\x1b[33m", "amber")

	s.Type(t, "C")
	s.AwaitScreen(t, "is sorted", func(screen string) bool {
		return strings.Contains(screen, "CALLS/S↓") && strings.Index(screen, orders+" ") < strings.Index(screen, ledgers+" ")
	})
	s.Type(t, "/ledger"+enter)
	s.AwaitScreen(t, "is filtered", func(screen string) bool {
		return strings.Contains(screen, "Services 1 of 3") && !strings.Contains(screen, orders)
	})
	s.Type(t, escape)
	s.AwaitText(t, "Services 3")
	s.Type(t, enter)
	s.AwaitText(t, "[Instances 300]")
	s.Type(t, "G")
	s.AwaitText(t, "▸ order-300")
	s.Resize(t, 140, 50)
	s.AwaitText(t, "LIFE")
	s.Type(t, escape)
	s.AwaitText(t, "Services 3")
	s.Type(t, "2")
	s.AwaitText(t, "█✕▒")
	s.Type(t, ":sub\t"+enter)
	s.AwaitText(t, "OrderPlaced")

	d.cut.Store(true)
	d.breaks <- struct{}{}
	s.AwaitText(t, "The monitor is not heard since")
	d.cut.Store(false)
	s.AwaitScreen(t, "is fed again", func(screen string) bool { return !strings.Contains(screen, "not heard") })
	assert.EqualValues(t, 1, d.streams.Load(), "of the page on the screen")

	s.Type(t, "q")
	assert.Equal(t, 0, s.Wait(t).Code)
	s.AssertRestored(t)
}

func TestWaysToEnd(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newDistant(map[string]any{"overview": sampleOverview()}))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		end  func(*clitest.Screen)
		code int
	}{
		"Ctrl-C":  {func(s *clitest.Screen) { s.Type(t, "\x03") }, 130},
		"SIGINT":  {func(s *clitest.Screen) { s.Interrupt(t) }, 130},
		"SIGTERM": {func(s *clitest.Screen) { s.Signal(t, syscall.SIGTERM) }, 143},
		"command": {func(s *clitest.Screen) { s.Type(t, ":q"+enter) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := clitest.StartScreen(t, 60, 20, []string{tokenVariable + "=secret"}, "top", "--monitor", server.URL+"/below")
			s.AwaitText(t, "▲ One thing needs attention")
			assert.NotRegexp(t, "\x1b\\[3[0-9]", s.Out().String(), "NO_COLOR is set")
			c.end(s)
			r := s.Wait(t)
			assert.Equal(t, c.code, r.Code)
			assert.Empty(t, r.Err)
			s.AssertRestored(t)
		})
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newDistant(map[string]any{"overview": sampleOverview()}))
	t.Cleanup(server.Close)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--token-file", "x"}, 2, "give its URL with --monitor"},
		{[]string{"--monitor", "nats://127.0.0.1"}, 2, "is no URL of a monitor"},
		{[]string{"--monitor", server.URL, "--server", "x"}, 2, "leave --server out"},
		{[]string{"--monitor", server.URL, "--token-file", empty}, 1, "has no token"},
		{[]string{"--monitor", server.URL, "--token-file", empty + "x"}, 1, "no such file"},
		{[]string{"--monitor", server.URL + "/below"}, 1, `the token is wrong\x1b[2J`},
		{[]string{"--monitor", server.URL + "/elsewhere"}, 1, "status 404"},
		{[]string{"--output", "json"}, 2, "leave --output out"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			s := clitest.StartScreen(t, 80, 24, nil, append([]string{"top"}, c.args...)...)
			r := s.Wait(t)
			assert.Equal(t, c.code, r.Code)
			assert.Contains(t, r.Err, c.want)
			s.AssertRestored(t)
		})
	}
	r := clitest.Run(t, nil, "top")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "aegis health")
	assert.Empty(t, r.Out)
}
