package feed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/top/feed"
)

// stream sends a text as server-sent events, and then holds the stream until the client goes.
func stream(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// watch follows a document of a server until the test ends.
func watch(t *testing.T, url, token, path string) <-chan feed.Event {
	t.Helper()
	transport := &http.Transport{}
	client, err := feed.New(url, token, transport)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	events := client.Watch(ctx, path)
	t.Cleanup(func() {
		cancel()
		for range events { // until the watch has ended
		}
		transport.CloseIdleConnections()
	})
	return events
}

// next returns the next event that says something.
func next(t *testing.T, events <-chan feed.Event) feed.Event {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case e, open := <-events:
			require.True(t, open)
			if e.Document != nil || e.Err != nil {
				return e
			}
		case <-late:
			require.Fail(t, "no event")
		}
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestDocumentsComeAsTheyAreSent(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/below/api/v1/services/a.v1.B", r.URL.Path)
		assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		assert.Equal(t, "text/event-stream", r.Header.Get("Accept"))
		stream(w, r, ": hello\n\nevent: document\nid: 1\ndata: {\"a\":1}\n\n"+
			"event: other\ndata: no\n\ndata: nor this\n\nevent: document\n\nnonsense\n\x00\xff\n\n"+
			"event:document\r\ndata:{\r\ndata:}\r\n\r\nevent: document\ndata: half")
	})
	events := watch(t, url+"/below", "secret", "services/a.v1.B")
	assert.Equal(t, `{"a":1}`, string(next(t, events).Document))
	assert.Equal(t, "{\n}", string(next(t, events).Document))
}

func TestBrokenStreamIsOpenedAgain(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n := opened.Add(1); n {
		case 1: // breaks in the midst of an event
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: document\ndata: 1\n\nevent: document\ndata: 2")
		case 2:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":503,"title":"Busy","detail":"too many streams"}`)
		default:
			stream(w, r, "event: document\ndata: 3\n\n")
		}
	})
	events := watch(t, url, "", "overview")
	assert.Equal(t, "1", string(next(t, events).Document))
	require.ErrorContains(t, next(t, events).Err, "ended the stream")
	err := next(t, events).Err
	require.ErrorContains(t, err, "status 503: too many streams")
	status, ok := errors.AsType[*feed.StatusError](err)
	require.True(t, ok)
	assert.False(t, status.Lasting())
	assert.Equal(t, "3", string(next(t, events).Document))
}

func TestAnswersOfOtherServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		want    string
		lasting bool
	}{
		"page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "no monitor of Aegis", true},
		"wrong token": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
			"status 401: Unauthorized", true,
		},
		"garbage for a problem": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		}, "status 502: Bad Gateway", false},
		"line without end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: document\ndata: ")
			block := strings.Repeat("x", 1<<20)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, block); err != nil {
					return
				}
			}
		}, "too long", false},
		"document without end": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			block := "data: " + strings.Repeat("x", 1<<20) + "\n"
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, block); err != nil {
					return
				}
			}
		}, "more than", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := next(t, watch(t, serve(t, c.answer), "", "overview")).Err
			require.ErrorContains(t, err, c.want)
			status, ok := errors.AsType[*feed.StatusError](err)
			assert.Equal(t, c.lasting, ok && status.Lasting())
		})
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:8900", "ftp://a/", "http://", "http://a b/", "nats://127.0.0.1:4222"} {
		_, err := feed.New(url, "", http.DefaultTransport)
		require.Error(t, err, url)
	}
	_, err := feed.New("ftp://user:hidden@a/", "", http.DefaultTransport)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hidden")
	c, err := feed.New("https://user:hidden@a/b?x#y", "", http.DefaultTransport)
	require.NoError(t, err)
	assert.Equal(t, "https://user:xxxxx@a/b", c.Target())
}

func TestLocalHandlerStreams(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	local := feed.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		stream(w, r, fmt.Sprintf("event: document\ndata: %s\n\n", r.URL.Path))
	}))
	client, err := feed.New(local.Address(), "", local)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	events := client.Watch(ctx, "leaders")
	assert.Equal(t, "/api/v1/leaders", string(next(t, events).Document))
	cancel()
	for range events { // until the watch has ended
	}
	<-gone // the handler has seen that its client is gone
	local.Close()
	_, err = local.RoundTrip(httptest.NewRequest(http.MethodGet, local.Address(), nil)) //nolint:bodyclose // there is no response
	require.Error(t, err)
}
