package aegisadmin_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// workOf returns the work of a method.
func workOf(t *testing.T, a *aegisadmin.Admin, service, method string) aegisadmin.Work {
	t.Helper()
	all, err := a.Work(t.Context(), service)
	require.NoError(t, err)
	for _, w := range all {
		if w.Method == method {
			return w
		}
	}
	t.Fatalf("no work of %s in %+v", method, all)
	return aegisadmin.Work{}
}

// Paused work is not begun, what is held is finished, a worker that starts anew and even
// one that changes the consumer leaves it paused, and it goes on at once when it is resumed.
func TestPauseCommands(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	inside, proceed := make(chan struct{}, 1), make(chan struct{})
	held := func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if req.GetText() == "held" {
			inside <- struct{}{}
			<-proceed
		}
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}
	stop := startWorker(t, n, held)
	first := send(t, client, "held")
	<-inside
	w := workOf(t, a, jobService, "Work")
	require.True(t, w.Commands())
	require.Len(t, w.Consumers, 3)
	require.True(t, w.PausedUntil.IsZero())
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(a.Pause(t.Context(), w, time.Now())))
	until := time.Now().Add(time.Hour)
	require.NoError(t, a.Pause(t.Context(), w, until))
	require.WithinDuration(t, until, workOf(t, a, jobService, "Work").PausedUntil, time.Second)
	second := send(t, client, "second")
	close(proceed)
	_, err := first.Result(t.Context())
	require.NoError(t, err, "what is held is finished")
	stop()
	startWorker(t, n, answer, aegis.WithStorage(aegis.Storage{Update: true}))
	startWorker(t, n, answer)
	status, err := second.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CommandQueued, status.State)
	w = workOf(t, a, jobService, "Work")
	require.WithinDuration(t, until, w.PausedUntil, time.Second, "a worker does not resume it")
	pending, underWay := w.Pending()
	require.Equal(t, uint64(1), pending)
	require.Zero(t, underWay)
	once, err := client.Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)
	_, err = once.Result(t.Context())
	require.NoError(t, err, "other work goes on")

	began := time.Now()
	require.NoError(t, a.Resume(t.Context(), w))
	_, err = second.Result(t.Context())
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
	require.True(t, workOf(t, a, jobService, "Work").PausedUntil.IsZero())
	require.NoError(t, a.Resume(t.Context(), w), "it is no error twice")
}

// A pause ends by itself.
func TestPauseEnds(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	startWorker(t, n, answer)
	require.NoError(t, a.Pause(t.Context(), workOf(t, a, jobService, "Work"), time.Now().Add(700*time.Millisecond)))
	began := time.Now()
	_, err := send(t, client, "x").Result(t.Context())
	require.NoError(t, err)
	require.Greater(t, time.Since(began), 300*time.Millisecond)
}

// lockedBuffer is a buffer for a log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A subscriber bears the pause of its group for longer than it looks for signs of life: it
// neither warns nor is it not ready, nor asks NATS again and again.
func TestPauseOfEventsIsBorne(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a := aegisadmin.New(conn)
	var log lockedBuffer
	got := make(chan string, 8)
	service := aegistestv1aegis.EventServiceName
	srv := aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Keyed: func(_ context.Context, e *testv1.KeyedRequest) error { got <- e.GetKey(); return nil },
		}, aegis.Compete("two-words"))
	}, aegis.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	eventually(t, func() bool { works, err := a.Work(t.Context(), service); return err == nil && len(works) == 1 })
	w := workOf(t, a, service, "Keyed")
	require.Equal(t, "two-words", w.Group)
	eventually(t, func() bool { w = workOf(t, a, service, "Keyed"); return len(w.Consumers) == 4 }, "one for each partition")
	require.NoError(t, a.Pause(t.Context(), w, time.Now().Add(time.Hour)))
	for _, key := range []string{"a", "b", "c"} {
		_, err = pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: key})
		require.NoError(t, err)
	}
	select {
	case key := <-got:
		t.Fatalf("%s was handled while its group is paused", key)
	case <-time.After(7 * time.Second): // the runtime takes 6 s without a sign of life for a loss
	}
	require.NoError(t, srv.Ready(t.Context()))
	require.Empty(t, log.String())
	require.NoError(t, a.Resume(t.Context(), w))
	for range 3 {
		select {
		case <-got:
		case <-time.After(deadline):
			t.Fatal("the events do not come after the pause")
		}
	}
}

// Letters are put into groups, and treated by them.
func TestDeadLetterGroups(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	var mended sync.Map
	startWorker(t, n, func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if _, ok := mended.Load(req.GetText()); ok {
			return &testv1.WorkResponse{Text: "mended"}, nil
		}
		return nil, aegis.Permanent(errors.New(req.GetText()))
	})
	groups, err := a.DeadLetterGroups(t.Context(), jobService)
	require.NoError(t, err)
	require.Empty(t, groups)
	treated, err := a.PutBack(t.Context(), jobService, aegisadmin.LetterFilter{}, nil)
	require.NoError(t, err)
	require.Zero(t, treated.Done)

	for _, reason := range []string{"order 17 is unknown", "order 42 is unknown", "no limit"} {
		cmd := send(t, client, reason)
		_, err := cmd.Result(t.Context())
		require.Error(t, err)
	}
	groups, err = a.DeadLetterGroups(t.Context(), jobService)
	require.NoError(t, err)
	require.Len(t, groups, 2)
	require.Equal(t, 2, groups[0].Count)
	require.Equal(t, "Work", groups[0].Method)
	require.Contains(t, groups[0].Reason, "order # is unknown")
	require.Contains(t, groups[0].Example, "order 17 is unknown")

	f := aegisadmin.LetterFilter{Method: "Work", Reason: groups[0].Reason}
	count, err := a.CountDeadLetters(t.Context(), jobService, f)
	require.NoError(t, err)
	require.Equal(t, 2, count.Count)
	mended.Store("order 17 is unknown", true)
	f.UpTo = count.UpTo
	calls := 0
	treated, err = a.PutBack(t.Context(), jobService, f, func(aegisadmin.Treated) { calls++ })
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Treated{Done: 2}, treated, "and the one that dies again is left alone")
	require.Equal(t, 2, calls)
	eventually(t, func() bool {
		n, err := a.CountDeadLetters(t.Context(), jobService, aegisadmin.LetterFilter{})
		require.NoError(t, err)
		return n.Count == 2
	}, "42 is dead again, and there is no limit")
	treated, err = a.Discard(t.Context(), jobService, aegisadmin.LetterFilter{Reason: aegisadmin.ReasonPattern(groups[1].Example)}, nil)
	require.NoError(t, err)
	require.Equal(t, 1, treated.Done)
	n2, err := a.CountDeadLetters(t.Context(), jobService, aegisadmin.LetterFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n2.Count)
}

func TestReasonPattern(t *testing.T) {
	t.Parallel()
	for reason, pattern := range map[string]string{
		"":                                "",
		"order 17 of 2026-11-28 is wrong": "order # of #-#-# is wrong",
		"id a1b2c3 at 0xff, x":            "id # at #, x",
		"two\nlines":                      "two lines",
	} {
		require.Equal(t, pattern, aegisadmin.ReasonPattern(reason))
		require.Equal(t, pattern, aegisadmin.ReasonPattern(pattern))
	}
}

// The streams of a service, and their consumers, as NATS has them.
func TestStreams(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	streams, err := a.Streams(t.Context(), jobService)
	require.NoError(t, err)
	require.Empty(t, streams)
	inside, proceed := make(chan struct{}, 1), make(chan struct{})
	startWorker(t, n, func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		inside <- struct{}{}
		<-proceed
		return &testv1.WorkResponse{}, nil
	})
	defer close(proceed)
	send(t, client, "x")
	<-inside
	services, err := a.Services(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{jobService}, services)
	streams, err = a.Streams(t.Context(), jobService)
	require.NoError(t, err)
	require.Equal(t, "commands", streams[0].Kind)
	require.Equal(t, uint64(1), streams[0].Messages)
	require.Len(t, streams[0].Consumers, 6, "three priorities of two methods")
	busy := 0
	for _, c := range streams[0].Consumers {
		busy += c.UnderWay
		if c.UnderWay > 0 {
			require.Equal(t, "w-Work-n", c.Name)
			require.Equal(t, uint64(1), c.Delivered)
			require.Equal(t, uint64(0), c.Floor)
		}
		require.Equal(t, 10000, c.MaxUnderWay)
	}
	require.Equal(t, 1, busy)
}
