package live_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

const patience = 30 * time.Second

// source is what documents are made of.
type source struct {
	mu      sync.Mutex
	text    string
	made    int
	looking map[live.View]int
}

func (s *source) document(live.View) monitorapi.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	now := time.Now()
	return &monitorapi.Overview{
		Header: monitorapi.Header{
			At: now, Verdict: monitorapi.Verdict{Text: s.text},
			Sources: []monitorapi.Source{{Name: monitorapi.SourceFigures, At: &now}},
		},
		Leaders: []monitorapi.Leadership{{From: now, To: now}},
	}
}

func (s *source) look(v live.View) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking[v]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looking[v]--
	}
}

func (s *source) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

func (s *source) counts(v live.View) (made, looking int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made, s.looking[v]
}

func newHub(t *testing.T) (*live.Hub, *source) {
	t.Helper()
	s := &source{looking: make(map[live.View]int)}
	h := live.NewHub(live.Config{Document: s.document, Look: s.look, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(h.Close)
	return h, s
}

func watch(t *testing.T, h *live.Hub, v live.View) *live.Watcher {
	t.Helper()
	w, err := h.Watch(v)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	return w
}

// next returns the next frame, which has to come.
func next(t *testing.T, w *live.Watcher) *live.Frame {
	t.Helper()
	f, err := w.Next(t.Context(), patience)
	require.NoError(t, err)
	require.NotNil(t, f, "no frame within %v", patience)
	return f
}

func textOf(t *testing.T, f *live.Frame) string {
	t.Helper()
	var o monitorapi.Overview
	require.NoError(t, json.Unmarshal(f.JSON, &o))
	require.Equal(t, f.Revision, o.Revision)
	return o.Verdict.Text
}

// All who watch a document share one frame of it, which is made once.
func TestAFrameIsMadeOnceForAll(t *testing.T) {
	t.Parallel()
	h, s := newHub(t)
	s.set("first")
	view := live.View{Kind: live.Service, Service: "echo.v1.EchoService"}
	var all []*live.Watcher
	for range 50 {
		w := watch(t, h, view)
		require.Equal(t, "first", textOf(t, next(t, w)), "the present document comes at once")
		all = append(all, w)
	}
	before, looking := s.counts(view)
	require.Equal(t, 1, looking)
	s.set("second")
	h.Publish()
	f := next(t, all[0])
	require.Equal(t, "second", textOf(t, f))
	for _, w := range all[1:] {
		require.Same(t, f, next(t, w))
	}
	after, _ := s.counts(view)
	require.Less(t, after-before, 10, "a document is made for each watcher")
	for _, w := range all {
		w.Close()
		w.Close()
	}
	_, looking = s.counts(view)
	require.Zero(t, looking)
	require.Zero(t, h.Watchers())
}

// A watcher that is slow takes the latest frame, and not those that it has missed.
func TestASlowWatcherGetsTheLatestFrame(t *testing.T) {
	t.Parallel()
	h, s := newHub(t)
	slow, quick := watch(t, h, live.View{}), watch(t, h, live.View{})
	next(t, slow)
	next(t, quick)
	var last *live.Frame
	for _, text := range []string{"1", "2", "3", "4", "5"} {
		s.set(text)
		h.Urgent()
		for last == nil || textOf(t, last) != text {
			last = next(t, quick)
		}
	}
	require.Equal(t, last.Revision, next(t, slow).Revision)
}

// What has not changed is not sent again, but for a sign of life after some seconds. Times
// at which something was read are no change.
func TestWhatHasNotChangedIsASignOfLife(t *testing.T) {
	t.Parallel()
	h, _ := newHub(t)
	w := watch(t, h, live.View{})
	first := next(t, w)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				h.Publish()
			}
		}
	})
	second := next(t, w)
	close(stop)
	publishing.Wait()
	require.Equal(t, first.Tag, second.Tag)
	var a, b monitorapi.Overview
	require.NoError(t, json.Unmarshal(first.JSON, &a))
	require.NoError(t, json.Unmarshal(second.JSON, &b))
	require.GreaterOrEqual(t, b.At.Sub(a.At), time.Second, "it was sent although nothing has changed")
}

// Nothing is made of what nobody watches, and what one reader gets is the present document.
func TestWithoutWatchersNothingIsMade(t *testing.T) {
	t.Parallel()
	h, s := newHub(t)
	for range 20 {
		h.Publish()
		h.Urgent()
	}
	w := watch(t, h, live.View{Kind: live.Work})
	next(t, w)
	w.Close()
	made, _ := s.counts(live.View{})
	s.set("now")
	h.Publish()
	require.Eventually(t, func() bool {
		f, err := h.Get(live.View{Kind: live.Leaders})
		return err == nil && textOf(t, f) == "now"
	}, patience, 10*time.Millisecond)
	after, looking := s.counts(live.View{Kind: live.Leaders})
	require.LessOrEqual(t, after-made, 2)
	require.Zero(t, looking, "a reader is no watcher")
}

// A frame is compressed as what it is.
func TestAFrameIsCompressed(t *testing.T) {
	t.Parallel()
	h, _ := newHub(t)
	f, err := h.Get(live.View{})
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(f.Gzip()))
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, f.JSON, data)
}

// There are so many watchers and no more, until one of them leaves.
func TestWatchersAreBounded(t *testing.T) {
	t.Parallel()
	h, _ := newHub(t)
	first := watch(t, h, live.View{})
	for range live.MaxWatchers - 1 {
		watch(t, h, live.View{Kind: live.Work})
	}
	_, err := h.Watch(live.View{Kind: live.Leaders})
	require.ErrorIs(t, err, live.ErrTooMany)
	first.Close()
	watch(t, h, live.View{Kind: live.Leaders})
}

// A watcher waits until its context or the hub ends.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	h, _ := newHub(t)
	w := watch(t, h, live.View{})
	next(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Next(ctx, patience)
	require.ErrorIs(t, err, context.Canceled)
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Next(context.Background(), patience); err != nil {
				done <- err
				return
			}
		}
	}()
	h.Close()
	require.ErrorIs(t, <-done, live.ErrClosed)
	_, err = h.Watch(live.View{})
	require.ErrorIs(t, err, live.ErrClosed)
}
