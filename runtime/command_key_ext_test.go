package aegis_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// afterDedupeWindow is longer than JobService's streams remember message ids.
const afterDedupeWindow = 1500 * time.Millisecond

// losing connects through a link that loses some messages.
func losing(t testing.TB, conn *aegis.Conn, loses func(payload string) bool) *aegis.Conn {
	t.Helper()
	return through(t, conn, time.Millisecond, func(m *lossy.Message) lossy.Fate {
		if loses(string(m.Payload)) {
			return lossy.Lost
		}
		return lossy.Passed
	})
}

func purge(t testing.TB, conn *aegis.Conn, stream string, opts ...jetstream.StreamPurgeOpt) {
	t.Helper()
	s, err := jetStream(t, conn).Stream(t.Context(), stream)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), opts...))
}

// forgetResults is the end of result_ttl, long after all is done.
func forgetResults(t testing.TB, conn *aegis.Conn) {
	t.Helper()
	eventually(t, "all is acknowledged", func() bool { return messages(t, conn, commandStream) == 0 })
	purge(t, conn, resultStream, jetstream.WithPurgeSubject("aegis.res.*.*.*.*.*.result"))
}

func messages(t testing.TB, conn *aegis.Conn, stream string) uint64 {
	t.Helper()
	s, err := jetStream(t, conn).Stream(t.Context(), stream)
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}

// The dedupe window of the stream bounds nothing: one key is one command while
// that waits, runs, fails, and as long as its result is kept.
func TestOneKeyIsOneCommandBeyondTheDedupeWindow(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	key := aegis.DedupeKey("k")
	waiting := send(t, client, "first", key)
	later := send(t, client, "later", aegis.DedupeKey("later"), aegis.NotBefore(time.Now().Add(afterDedupeWindow+time.Second)))
	<-time.After(afterDedupeWindow)
	require.Equal(t, waiting.ID(), send(t, client, "second", key, aegis.Priority(aegis.PriorityHigh)).ID())
	send(t, client, "second", aegis.DedupeKey("later"), aegis.NotBefore(time.Now().Add(time.Hour)))
	send(t, client, "third", aegis.DedupeKey("later"))
	require.EqualValues(t, 2, messages(t, conn, commandStream), "they wait once")

	var mu sync.Mutex
	runs := map[string]int{}
	begun, end := make(chan struct{}, 10), make(chan struct{})
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		mu.Lock()
		runs[req.GetText()]++
		mu.Unlock()
		if req.GetText() == "first" {
			job, _ := aegis.JobFromContext(ctx)
			begun <- struct{}{}
			for {
				select {
				case <-end:
					return &testv1.WorkResponse{Text: req.GetText()}, nil
				case <-time.After(100 * time.Millisecond): // the attempt may take 700 ms without a report
					if err := job.Report(ctx, aegis.Progress{}); err != nil {
						return nil, err
					}
				}
			}
		}
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	receive(t, "it runs", begun)
	<-time.After(afterDedupeWindow)
	running := send(t, client, "second", key)
	close(end)
	require.Equal(t, "first", mustResult(t, running))
	require.Equal(t, "later", mustResult(t, later))
	<-time.After(afterDedupeWindow)
	require.Equal(t, "first", mustResult(t, send(t, client, "third", key)), "its result is kept")
	require.Equal(t, map[string]int{"first": 1, "later": 1}, runs)
}

func TestKeyOfACommandThatFailsIsTriedAsOftenAsItMay(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	var runs atomic.Int64
	worker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		runs.Add(1)
		select {
		case <-time.After(600 * time.Millisecond): // all attempts together take longer than the dedupe window
		case <-ctx.Done():
		}
		return nil, errWrong
	}})
	cmd := send(t, client, "", aegis.DedupeKey("k"))
	ended := async(func() (string, error) { return outcome(t.Context(), cmd) })
	for len(ended) == 0 {
		require.Equal(t, cmd.ID(), send(t, client, "", aegis.DedupeKey("k")).ID())
	}
	require.ErrorContains(t, receive(t, "it ends", ended).err, errWrong.Error())
	_, err := outcome(t.Context(), send(t, client, "", aegis.DedupeKey("k")))
	require.ErrorContains(t, err, errWrong.Error())
	require.EqualValues(t, 3, runs.Load())
	require.Len(t, deadLetters(t, conn, jobService), 1)
}

func TestConcurrentSendsOfOneKeyAreOneCommand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var runs atomic.Int64
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		runs.Add(1)
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	const senders, keys = 8, 20
	var all sync.WaitGroup
	texts := make([][]string, senders)
	for i := range senders {
		client := newJobClient(t, another(t, conn))
		all.Go(func() {
			for k := range keys {
				cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: strconv.Itoa(i)}, aegis.DedupeKey(strconv.Itoa(k)))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := outcome(t.Context(), cmd)
				if err != nil {
					t.Error(err)
					return
				}
				texts[i] = append(texts[i], text)
			}
		})
	}
	all.Wait()
	for i := range senders {
		require.Equal(t, texts[0], texts[i], "all were told the same")
	}
	require.EqualValues(t, keys, runs.Load())
}

// A message id that the stream remembers is no proof that the command is there.
func TestKeyWhoseCommandWasPurgedIsSentAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	gone := send(t, client, "gone", aegis.DedupeKey("k"))
	purge(t, conn, commandStream)
	again := send(t, client, "again", aegis.DedupeKey("k"))
	require.Equal(t, gone.ID(), again.ID())
	worker(t, conn, jobs{})
	require.Equal(t, "again", mustResult(t, again))
	forgetResults(t, conn)
	require.Equal(t, "once more", mustResult(t, send(t, client, "once more", aegis.DedupeKey("k"))))
}

// A cancel is for the one command that it was meant for, and not for the next
// one with its key.
func TestCancelDoesNotOutliveItsCommand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	key := aegis.DedupeKey("scheduled")
	cmd := send(t, client, "", key, aegis.NotBefore(time.Now().Add(time.Hour)))
	require.NoError(t, cmd.Cancel(t.Context()))
	require.Equal(t, aegis.CommandCanceled, state(t, cmd))
	_, err := outcome(t.Context(), send(t, client, "", key))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err), "as long as its result is kept")

	forgetResults(t, conn)
	worker(t, conn, jobs{})
	require.Equal(t, "next", mustResult(t, send(t, client, "next", key)))

	// Cancels that cross the end of their commands.
	const keys = 60
	for i := range keys {
		cmd := send(t, client, "", aegis.DedupeKey(strconv.Itoa(i)))
		canceled := async(func() (any, error) { return nil, cmd.Cancel(t.Context()) })
		_, _ = outcome(t.Context(), cmd)
		receive(t, "the cancel is over", canceled)
	}
	forgetResults(t, conn)
	for i := range keys {
		require.Equal(t, "next", mustResult(t, send(t, client, "next", aegis.DedupeKey(strconv.Itoa(i)))))
	}
}

// A worker that did not hear that a cancel is over does not cancel what has the
// key later.
func TestCancelThatAWorkerBelievesInStillDoesNotMeetTheNextCommand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	deaf := losing(t, conn, func(payload string) bool { return payload == "over" })
	stuck := make(chan struct{}, 10)
	worker(t, deaf, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if req.GetText() == "stuck" {
			stuck <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	key := aegis.DedupeKey("k")
	cmd := send(t, client, "stuck", key)
	receive(t, "it runs", stuck)
	require.NoError(t, cmd.Cancel(t.Context()))
	_, err := outcome(t.Context(), cmd)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	forgetResults(t, conn)
	require.Equal(t, "next", mustResult(t, send(t, client, "next", key)))
}

// What was reported of an earlier command with the key is not shown for the next.
func TestProgressIsThatOfTheCommandItself(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	first := stoppableWorker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		return &testv1.WorkResponse{}, job.Report(ctx, aegis.Progress{Percent: 50})
	}})
	key := aegis.DedupeKey("k")
	mustResult(t, send(t, client, "", key))
	first.end(t)
	forgetResults(t, conn)
	status, err := aegistestv1aegis.JobServiceWorkCommand(another(t, conn), send(t, client, "", key).ID()).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CommandStatus{State: aegis.CommandQueued}, *status)
}
