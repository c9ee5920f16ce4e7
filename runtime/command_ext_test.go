package aegis_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestCommandsAreWorkedOnceAndHaveTheirResults(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	for range 2 {
		worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			job, ok := aegis.JobFromContext(ctx)
			require.True(t, ok)
			require.Equal(t, 1, job.Attempt)
			d.notef("%s", job.ID)
			return &testv1.WorkResponse{Text: "did " + req.GetText()}, nil
		}})
	}
	client := newJobClient(t, conn)
	var sent []*workCommand
	for i := range 50 {
		sent = append(sent, send(t, client, strconv.Itoa(i)))
	}
	for i, cmd := range sent {
		require.Equal(t, "did "+strconv.Itoa(i), mustResult(t, cmd))
		require.Equal(t, 1, d.count(cmd.ID()))
		require.Equal(t, "did "+strconv.Itoa(i), mustResult(t, cmd), "as often as it is asked for")
	}
	status, err := sent[0].Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CommandStatus{State: aegis.CommandSucceeded, Attempt: 1}, *status)
}

func TestCommandWaitsForAWorkerAndIsFoundAgainByItsID(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	sender := another(t, conn)
	cmd := send(t, newJobClient(t, sender), "x")
	require.Equal(t, aegis.CommandQueued, state(t, cmd))
	id := cmd.ID()
	require.NoError(t, sender.Close(t.Context()))
	// Another process, or the same one after a restart.
	again := aegistestv1aegis.JobServiceWorkCommand(conn, id)
	require.Equal(t, id, again.ID())
	require.Equal(t, aegis.CommandQueued, state(t, again))
	waiting := async(func() (string, error) { return outcome(t.Context(), again) })
	worker(t, conn, jobs{})
	res := receive(t, "the result", waiting)
	require.NoError(t, res.err)
	require.Equal(t, "x", res.res)
	require.Equal(t, "x", mustResult(t, aegistestv1aegis.JobServiceWorkCommand(another(t, conn), id)), "when it has ended, too")
}

func TestCommandThatDoesNotExistIsSaidToBe(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, existing := range []bool{false, true} {
		if existing {
			worker(t, conn, jobs{})
			mustResult(t, send(t, newJobClient(t, conn), ""))
		}
		none := aegistestv1aegis.JobServiceWorkCommand(conn, "abc.1")
		_, err := none.Result(t.Context())
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
		require.Equal(t, aegis.CommandUnknown, state(t, none))
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(none.Cancel(t.Context())))
		for _, err := range none.Progress(t.Context()) {
			require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
		}
	}
	for _, id := range []string{"", "abc", "a.b.c", "*.1", "a b.1", "a.>"} {
		_, err := aegistestv1aegis.JobServiceWorkCommand(conn, id).Status(t.Context())
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), id)
	}
	_, err := aegistestv1aegis.JobServiceWorkCommand(nil, "abc.1").Status(t.Context())
	require.ErrorContains(t, err, "the connection of a command is nil")
}

func TestFailedCommandsAreTriedAgainAndInTheEndDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	fix := make(chan struct{})
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		require.Equal(t, attemptOf(ctx), call.Attempt())
		d.notef("%s %d", req.GetText(), call.Attempt())
		select {
		case <-fix:
			return &testv1.WorkResponse{Text: "fixed " + call.RequestHeader().Get("tenant")}, nil
		default:
		}
		switch {
		case req.GetText() == "recovers" && call.Attempt() == 3:
			return &testv1.WorkResponse{Text: "at last"}, nil
		case req.GetText() == "permanent":
			return nil, aegis.Permanent(aegis.NewError(aegis.CodeOutOfRange, "no"))
		case req.GetText() == "panics":
			panic("oops")
		case req.GetText() == "nil":
			return nil, nil
		}
		return nil, errWrong
	}})
	client := newJobClient(t, conn)
	require.Equal(t, "at last", mustResult(t, send(t, client, "recovers")))
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	ids := map[string]*workCommand{}
	for text, code := range map[string]aegis.Code{
		"permanent": aegis.CodeOutOfRange, "panics": aegis.CodeInternal, "fails": aegis.CodeUnknown, "nil": aegis.CodeInternal,
	} {
		cmd, err := client.Work(ctx, &testv1.WorkRequest{Text: text})
		require.NoError(t, err)
		ids[text] = cmd
		_, err = outcome(t.Context(), cmd)
		require.Equal(t, code, aegis.CodeOf(err), text)
		require.True(t, aegis.IsWireError(err))
		require.NotContains(t, err.Error(), "oops")
		status, err := cmd.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, aegis.CommandFailed, status.State)
		require.Equal(t, code, aegis.CodeOf(status.Err))
	}
	require.Equal(t, []int{1, 0, 1, 0, 1, 1}, []int{
		d.count("permanent 1"), d.count("permanent 2"), d.count("panics 3"), d.count("panics 4"), d.count("fails 3"), d.count("nil 3"),
	})
	// One that cannot be read, by hand.
	_, err := jetStream(t, conn).Publish(t.Context(), "aegis.cmd.aegistest.v1.JobService.Work.n.hand.1", []byte{0xff})
	require.NoError(t, err)
	_, err = outcome(t.Context(), aegistestv1aegis.JobServiceWorkCommand(conn, "hand.1"))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))

	dead := map[string]*aegis.DeadLetter{}
	for _, l := range deadLetters(t, conn, jobService) {
		dead[l.ID] = l
	}
	require.Len(t, dead, 5)
	l := dead[ids["fails"].ID()]
	require.Equal(t, "Work 3 UNKNOWN: wrong a", fmt.Sprintf("%s %d %s %s", l.Method, l.Attempts, l.Reason, l.Header.Get("tenant")))
	require.Contains(t, dead["hand.1"].Reason, "it is no valid aegistest.v1.WorkRequest")
	close(fix)
	require.NoError(t, conn.PutBack(t.Context(), l))
	eventually(t, "it has a result now", func() bool {
		text, err := outcome(t.Context(), aegistestv1aegis.JobServiceWorkCommand(conn, l.ID))
		return err == nil && text == "fixed a"
	})
	require.Len(t, deadLetters(t, conn, jobService), 4)
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), dead["hand.1"]))
	require.Len(t, deadLetters(t, conn, jobService), 3)
}

func TestProgressIsSeenLiveAndLater(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	steps, seen := make(chan float64), make(chan aegis.Progress)
	var late atomic.Pointer[aegis.Job]
	worker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		late.Store(job)
		for percent := range steps {
			require.NoError(t, job.Report(ctx, aegis.Progress{Percent: percent, Message: "fills"}))
		}
		return &testv1.WorkResponse{}, job.Report(ctx, aegis.Progress{Percent: 100})
	}})
	cmd := send(t, newJobClient(t, conn), "")
	done := async(func() (any, error) {
		for p, err := range cmd.Progress(t.Context()) {
			if err != nil {
				return nil, err
			}
			seen <- *p
		}
		close(seen)
		return nil, nil
	})
	steps <- 10
	require.Equal(t, aegis.Progress{Percent: 10, Message: "fills"}, receive(t, "the first report", seen))
	steps <- 0
	require.Equal(t, aegis.Progress{Percent: 0, Message: "fills"}, receive(t, "the next one", seen))
	status, err := aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CommandStatus{State: aegis.CommandRunning, Attempt: 1, Progress: &aegis.Progress{Percent: 0, Message: "fills"}}, *status)
	for p, err := range aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Progress(t.Context()) {
		require.NoError(t, err)
		require.Zero(t, p.Percent, "whoever comes later begins with the last one")
		break
	}
	close(steps)
	require.Equal(t, aegis.Progress{Percent: 100}, receive(t, "the last one", seen))
	require.NoError(t, receive(t, "the loop ends with the command", done).err)
	mustResult(t, cmd)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(late.Load().Report(t.Context(), aegis.Progress{})))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(late.Load().Report(t.Context(), aegis.Progress{Percent: 101})))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(late.Load().Report(t.Context(), aegis.Progress{Percent: nan()})))
}

func TestCancelEndsTheHandlersContext(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started := make(chan struct{})
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		close(started)
		<-ctx.Done()
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		if req.GetText() == "succeeds all the same" {
			return &testv1.WorkResponse{Text: "done"}, nil
		}
		return nil, ctx.Err()
	}})
	client, elsewhere := newJobClient(t, conn), another(t, conn)
	cmd := send(t, client, "")
	receive(t, "it runs", started)
	require.NoError(t, aegistestv1aegis.JobServiceWorkCommand(elsewhere, cmd.ID()).Cancel(t.Context()))
	_, err := outcome(t.Context(), cmd)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err))
	require.Equal(t, aegis.CommandCanceled, state(t, cmd))
	err = cmd.Cancel(t.Context())
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "has ended already, as CANCELED")
	require.Empty(t, deadLetters(t, conn, jobService))

	started = make(chan struct{})
	cmd = send(t, client, "succeeds all the same")
	receive(t, "it runs", started)
	require.NoError(t, cmd.Cancel(t.Context()))
	require.Equal(t, "done", mustResult(t, cmd))
}

func TestCommandThatIsCanceledBeforeItBeginsNeverRuns(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	early := send(t, client, "canceled", aegis.DedupeKey("k"))
	require.NoError(t, early.Cancel(t.Context()))
	status, err := early.Status(t.Context())
	require.NoError(t, err)
	require.True(t, status.Canceling)
	scheduled := send(t, client, "canceled", aegis.NotBefore(time.Now().Add(time.Hour)))
	require.Equal(t, aegis.CommandScheduled, state(t, scheduled))
	require.NoError(t, scheduled.Cancel(t.Context()))
	_, err = outcome(t.Context(), scheduled)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	var d diary
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("%s", req.GetText())
		return &testv1.WorkResponse{}, nil
	}})
	_, err = outcome(t.Context(), early)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	mustResult(t, send(t, client, "last"))
	d.becomes(t, "last")
}

func TestConcurrencyOfCommandsIsBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		started <- struct{}{}
		<-release
		return &testv1.WorkResponse{}, nil
	}}, aegis.WithMaxConcurrency(3))
	client := newJobClient(t, conn)
	var sent []*workCommand
	for range 8 {
		sent = append(sent, send(t, client, ""))
	}
	for range 3 {
		receive(t, "a handler", started)
	}
	pending(t, "a fourth handler", started)
	// Others take what this one has no room for.
	worker(t, conn, jobs{})
	eventually(t, "the others are done", func() bool {
		n := 0
		for _, cmd := range sent {
			if state(t, cmd).Ended() {
				n++
			}
		}
		return n >= 3
	})
	close(release)
	for _, cmd := range sent {
		mustResult(t, cmd)
	}
}

// The attempt timeout is 700 ms.
func TestAttemptTimesOutUnlessItReports(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		d.notef("%s %d", req.GetText(), job.Attempt)
		if req.GetText() == "reports" {
			for i := range 4 {
				<-time.After(300 * time.Millisecond) // longer than the timeout, in all
				require.NoError(t, job.Report(ctx, aegis.Progress{Percent: float64(i)}))
			}
			return &testv1.WorkResponse{}, nil
		}
		if job.Attempt == 2 {
			return &testv1.WorkResponse{}, nil
		}
		<-ctx.Done()
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		return nil, ctx.Err()
	}})
	client := newJobClient(t, conn)
	reports, silent := send(t, client, "reports"), send(t, client, "silent")
	mustResult(t, reports)
	mustResult(t, silent)
	require.Equal(t, []int{1, 0, 1, 1}, []int{d.count("reports 1"), d.count("reports 2"), d.count("silent 1"), d.count("silent 2")})
}

func TestCommandThatRunsForLongIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	seen := make(chan struct{})
	long := jobs{once: func(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
		d.notef("once")
		<-time.After(1600 * time.Millisecond) // more than one and a half ack waits
		<-seen
		return &testv1.OnceResponse{}, nil
	}}
	worker(t, conn, long)
	worker(t, another(t, conn), long)
	cmd, err := newJobClient(t, another(t, conn)).Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)
	eventually(t, "it is said to run", func() bool {
		status, err := cmd.Status(t.Context())
		require.NoError(t, err)
		return status.State == aegis.CommandRunning && status.Attempt == 1 && status.Progress == nil
	})
	close(seen)
	_, err = cmd.Result(t.Context())
	require.NoError(t, err)
	require.Len(t, d.all(), 1)
}

func TestCommandsCarryMetadataThroughInterceptorsOfBothSides(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	at := func(where string) aegis.InterceptorsOption {
		return aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
			return func(ctx context.Context, req proto.Message) (proto.Message, error) {
				call, ok := aegis.CallFromContext(ctx)
				require.True(t, ok)
				call.RequestHeader().Add("way", where)
				return next(ctx, req)
			}
		}))
	}
	worker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		return &testv1.WorkResponse{Text: fmt.Sprint(call.RequestHeader().Get("tenant"), call.RequestHeader().Values("way"))}, nil
	}}, at("worker"))
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	cmd, err := newJobClient(t, conn, at("sender")).Work(ctx, &testv1.WorkRequest{})
	require.NoError(t, err)
	require.Equal(t, "a[sender worker]", mustResult(t, cmd))
}

func TestResultThatIsTooLargeIsAFailure(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		n, _ := strconv.Atoi(req.GetText())
		return &testv1.WorkResponse{Data: make([]byte, n)}, nil
	}})
	client := newJobClient(t, conn)
	for _, size := range []int{1 << 20, 1<<20 - 50} { // the latter with its headers only
		_, err := outcome(t.Context(), send(t, client, strconv.Itoa(size)))
		require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err), size)
		require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	}
	_, err := outcome(t.Context(), send(t, client, "1"))
	require.NoError(t, err, "the next one is worked")
	_, err = client.Work(t.Context(), &testv1.WorkRequest{Text: string(make([]byte, 1<<20))})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
}

func TestStoppingWorkerFinishesWhatRunsAndGivesTheRestBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	first := stoppableWorker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		started <- struct{}{}
		<-release
		return &testv1.WorkResponse{Text: "first"}, nil
	}}, aegis.WithMaxConcurrency(2))
	client := newJobClient(t, conn)
	var sent []*workCommand
	for range 6 {
		sent = append(sent, send(t, client, "second"))
	}
	for range 2 {
		receive(t, "a handler", started)
	}
	first.stop()
	worker(t, conn, jobs{})
	eventually(t, "the others are done elsewhere", func() bool {
		n := 0
		for _, cmd := range sent {
			if state(t, cmd).Ended() {
				n++
			}
		}
		return n == 4
	})
	pending(t, "Run returns", first.done)
	close(release)
	require.NoError(t, receive(t, "it stops", first.done))
	results := map[string]int{}
	for _, cmd := range sent {
		results[mustResult(t, cmd)]++
	}
	require.Equal(t, map[string]int{"first": 2, "second": 4}, results)
}

// A handler that the server's patience ended goes to another worker.
func TestCommandOutlivesTheGracePeriod(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv, err := aegis.NewServer(conn, aegis.WithGracePeriod(10*time.Millisecond))
	require.NoError(t, err)
	started := make(chan struct{})
	require.NoError(t, registerJobs(jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}})(srv))
	first := runServer(t, srv)
	cmd := send(t, newJobClient(t, conn), "second")
	receive(t, "it runs", started)
	first.stop()
	require.ErrorContains(t, receive(t, "it stops", first.done), "JobService.Work (1)")
	worker(t, conn, jobs{})
	require.Equal(t, "second", mustResult(t, cmd))
}
