package aegis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestDedupeKeyMakesOneCommandOfTwo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	client, other := newJobClient(t, conn), newJobClient(t, another(t, conn))
	first := send(t, client, "1", aegis.DedupeKey("eod"))
	second := send(t, other, "2", aegis.DedupeKey("eod"))
	require.Equal(t, first.ID(), second.ID())
	third := send(t, other, "3", aegis.DedupeKey("another"))
	require.NotEqual(t, first.ID(), third.ID())
	once, err := client.Once(t.Context(), &testv1.OnceRequest{}, aegis.DedupeKey("eod"))
	require.NoError(t, err)
	require.NotEqual(t, first.ID(), once.ID(), "another method's keys are others")
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("%s", req.GetText())
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	require.Equal(t, "1", mustResult(t, first))
	require.Equal(t, "1", mustResult(t, second))
	require.Equal(t, "3", mustResult(t, third))
	<-time.After(1100 * time.Millisecond) // the stream's window, of one second
	again := send(t, client, "4", aegis.DedupeKey("eod"))
	require.Equal(t, "1", mustResult(t, again), "as long as there is a result")
	mustResult(t, send(t, client, "last"))
	require.Equal(t, []int{1, 1, 0, 0}, []int{d.count("1"), d.count("3"), d.count("2"), d.count("4")})
}

func TestNotBeforeAndExpiry(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	due := time.Now().Add(time.Second)
	later := send(t, client, "later", aegis.NotBefore(due))
	at := send(t, client, "past", aegis.NotBefore(time.Now().Add(-time.Hour)))
	expired := send(t, client, "expired", aegis.Expiry(time.Now().Add(time.Millisecond)))
	kept := send(t, client, "kept", aegis.Expiry(time.Now().Add(time.Hour)))
	require.Equal(t, aegis.CommandScheduled, state(t, later))
	eventually(t, "it has expired", func() bool { return time.Now().After(due.Add(-900 * time.Millisecond)) })
	var d diary
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("%s", req.GetText())
		if req.GetText() == "later" && time.Now().Before(due) {
			return nil, aegis.Permanent(errors.New("too early"))
		}
		return &testv1.WorkResponse{}, nil
	}})
	mustResult(t, at)
	mustResult(t, kept)
	_, err := outcome(t.Context(), expired)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.Equal(t, "EXPIRED", asError(t, err).Reason())
	require.True(t, aegis.IsWireError(err))
	require.Equal(t, aegis.CommandExpired, state(t, expired))
	mustResult(t, later)
	require.Zero(t, d.count("expired"))
	require.Empty(t, deadLetters(t, conn, jobService))
}

func TestSendOptionsAreChecked(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	for what, opts := range map[string][]aegis.SendOption{
		"priority 7":                       {aegis.Priority(7)},
		"the time is zero":                 {aegis.NotBefore(time.Time{})},
		"expiry: the time is zero":         {aegis.Expiry(time.Time{})},
		"use 1 to 256 characters":          {aegis.DedupeKey("")},
		"is before NotBefore":              {aegis.NotBefore(time.Now().Add(time.Hour)), aegis.Expiry(time.Now())},
		"dedupe key \"xxxxxxxxxxxxxxxxxxx": {aegis.DedupeKey(string(make([]byte, 300)))},
	} {
		if what[0] == 'd' {
			what = "dedupe key"
		}
		_, err := client.Work(t.Context(), &testv1.WorkRequest{}, opts...)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		require.ErrorContains(t, err, what)
	}
	leader, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	_, err = leader.Arrange(t.Context(), &testv1.ArrangeRequest{}, aegis.Priority(aegis.PriorityHigh))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	require.ErrorContains(t, err, "are worked by a leader, in order")
	_, err = aegistestv1aegis.NewJobServiceClient(conn, aegis.WithStorage(aegis.Storage{MaxAge: time.Hour}))
	require.ErrorContains(t, err, "no command may be dropped")
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.ErrorContains(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, aegis.WithStorage(aegis.Storage{Replicas: 3})), "has no command")
}

func TestHigherPrioritiesAreBegunFirst(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	const each = 30
	var last *workCommand
	for range each {
		last = send(t, client, "low", aegis.Priority(aegis.PriorityLow))
		send(t, client, "normal")
		send(t, client, "high", aegis.Priority(aegis.PriorityHigh))
	}
	var d diary
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("%s", req.GetText())
		return &testv1.WorkResponse{}, nil
	}}, aegis.WithMaxConcurrency(1))
	mustResult(t, last)
	eventually(t, "all are worked", func() bool { return len(d.all()) == 3*each })
	place := map[string]int{}
	for i, level := range d.all() {
		place[level] += i
	}
	// What was already on its way may come before what is more urgent.
	require.Less(t, place["high"], place["normal"])
	require.Less(t, place["normal"], place["low"])
}
