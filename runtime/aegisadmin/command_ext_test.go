package aegisadmin_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func unmarshal(data []byte, m proto.Message) error { return proto.Unmarshal(data, m) }

// Commands that no worker has ever been there for are listed, counted, canceled and deleted.
func TestCommandsWithoutAWorker(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	require.Empty(t, list(t, a, aegisadmin.CommandFilter{}), "no queue, no commands")
	methods, err := a.CommandMethods(t.Context(), jobService)
	require.NoError(t, err)
	require.Empty(t, methods)

	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "blue")
	first, err := client.Work(ctx, &testv1.WorkRequest{Text: "first"}, aegis.Expiry(time.Now().Add(time.Hour)))
	require.NoError(t, err)
	send(t, client, "urgent", aegis.Priority(aegis.PriorityHigh))
	due := time.Now().Add(time.Hour)
	later := send(t, client, "later", aegis.NotBefore(due))
	_, err = client.Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)

	require.Equal(t, []string{"first", "urgent", "later"}, texts(t, list(t, a, aegisadmin.CommandFilter{Method: "Work"})))
	require.Len(t, list(t, a, aegisadmin.CommandFilter{}), 4)
	require.Equal(t, []string{"urgent"}, texts(t, list(t, a, aegisadmin.CommandFilter{Priority: "high"})))
	require.Equal(t, []string{"later"}, texts(t, list(t, a, aegisadmin.CommandFilter{States: []aegisadmin.CommandState{aegisadmin.Scheduled}})))
	require.Empty(t, list(t, a, aegisadmin.CommandFilter{Older: time.Hour}))
	require.Empty(t, list(t, a, aegisadmin.CommandFilter{States: []aegisadmin.CommandState{aegisadmin.Running, aegisadmin.Retrying}}))

	methods, err = a.CommandMethods(t.Context(), jobService)
	require.NoError(t, err)
	require.Len(t, methods, 2)
	require.Equal(t, "Once", methods[0].Method)
	work := methods[1]
	require.Equal(t, "Work", work.Method)
	require.Equal(t, [3]int{1, 2, 0}, [3]int{work.Scheduled, work.Waiting, work.UnderWay})
	require.Equal(t, []aegisadmin.CommandLevel{{Priority: "high", Waiting: 1}, {Priority: "normal", Waiting: 1}, {Priority: "low"}}, work.Levels)
	require.WithinDuration(t, time.Now(), work.Oldest, time.Minute)
	require.False(t, work.Workers)

	c, err := a.Command(t.Context(), jobService, first.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Waiting, c.State)
	require.Equal(t, "Work", c.Method)
	require.Equal(t, "normal", c.Priority)
	require.Equal(t, aegis.Header{"tenant": {"blue"}}, c.Header)
	require.WithinDuration(t, time.Now().Add(time.Hour), c.Expires, time.Minute)
	require.Equal(t, "first", text(t, c))
	scheduled, err := a.Command(t.Context(), jobService, later.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Scheduled, scheduled.State)
	require.WithinDuration(t, due, scheduled.Due, time.Second)

	require.NoError(t, a.DeleteCommand(t.Context(), c))
	require.NoError(t, a.DeleteCommand(t.Context(), c), "it is gone")
	_, err = a.Command(t.Context(), jobService, first.ID())
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	_, err = first.Result(t.Context())
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
}

// A command shows what its worker does: it runs and reports, waits for its next attempt,
// and ends.
func TestCommandWithAWorker(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	reported := make(chan struct{})
	startWorker(t, n, func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		switch req.GetText() {
		case "fails":
			return nil, aegis.Permanent(aegis.Errorf(aegis.CodeDataLoss, "no book"))
		case "done":
			return &testv1.WorkResponse{Text: "well"}, nil
		}
		job, _ := aegis.JobFromContext(ctx)
		for { // without reports the attempt would take too long
			if err := job.Report(ctx, aegis.Progress{Percent: 40, Message: "fills"}); err != nil {
				return nil, err
			}
			select {
			case reported <- struct{}{}:
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	})
	cmd := send(t, client, "runs")
	<-reported
	c, err := a.Command(t.Context(), jobService, cmd.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Running, c.State)
	require.Equal(t, &aegis.Progress{Percent: 40, Message: "fills"}, c.Progress)
	require.Equal(t, 1, c.Attempt)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(a.DeleteCommand(t.Context(), c)), "a worker has it")
	require.Equal(t, []string{"runs"}, texts(t, list(t, a, aegisadmin.CommandFilter{States: []aegisadmin.CommandState{aegisadmin.Running}})))
	methods, err := a.CommandMethods(t.Context(), jobService)
	require.NoError(t, err)
	require.Len(t, methods, 2)
	require.Equal(t, 1, methods[1].UnderWay)
	require.True(t, methods[1].Workers)

	require.NoError(t, a.CancelCommand(t.Context(), c))
	_, err = cmd.Result(t.Context())
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	c, err = a.Command(t.Context(), jobService, cmd.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Canceled, c.State)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(a.CancelCommand(t.Context(), c)))

	failed := send(t, client, "fails")
	_, err = failed.Result(t.Context())
	require.Error(t, err)
	c, err = a.Command(t.Context(), jobService, failed.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Failed, c.State)
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(c.Err))
	require.Equal(t, 1, c.Attempt)

	done := send(t, client, "done")
	_, err = done.Result(t.Context())
	require.NoError(t, err)
	c, err = a.Command(t.Context(), jobService, done.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Succeeded, c.State)
	res := &testv1.WorkResponse{}
	require.NoError(t, unmarshal(c.Data, res))
	require.Equal(t, "well", res.GetText())
	require.NoError(t, c.Err)
}

// A command whose attempts have failed is shown as one that waits for its next attempt.
func TestCommandThatIsTriedAgain(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	again := make(chan struct{})
	stop := startWorker(t, n, func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		if job.Attempt == 1 {
			return nil, errors.New("not yet")
		}
		<-again
		return &testv1.WorkResponse{}, nil
	})
	cmd := send(t, client, "x")
	var c *aegisadmin.Command
	eventually(t, func() bool {
		var err error
		c, err = a.Command(t.Context(), jobService, cmd.ID())
		require.NoError(t, err)
		return c.Failures == 1
	})
	require.WithinDuration(t, time.Now(), c.FailedAt, time.Minute)
	require.Contains(t, []aegisadmin.CommandState{aegisadmin.Retrying, aegisadmin.Running}, c.State)
	close(again)
	_, err := cmd.Result(t.Context())
	require.NoError(t, err)
	stop()
}

// Names and filters that can match nothing are refused before anything is read.
func TestCommandsOfWrongNames(t *testing.T) {
	t.Parallel()
	a := aegisadmin.New(aegistest.Connect(t))
	for _, f := range []aegisadmin.CommandFilter{{Method: "a.b"}, {Method: "*"}, {Priority: "urgent"}, {States: []aegisadmin.CommandState{aegisadmin.Failed}}} {
		for _, err := range a.Commands(t.Context(), jobService, f) {
			require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), "%+v", f)
		}
	}
	_, err := a.Command(t.Context(), jobService, "x")
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	_, err = a.CommandMethods(t.Context(), "no service")
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

// A queue with gaps, and commands of several methods between each other, is read as a whole
// and in order.
func TestCommandsOfAQueueWithGaps(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	var want []string
	for i := range 300 {
		text := strconv.Itoa(i)
		cmd := send(t, client, text)
		switch {
		case i%7 == 3 || i > 100 && i < 150:
			c, err := a.Command(t.Context(), jobService, cmd.ID())
			require.NoError(t, err)
			require.NoError(t, a.DeleteCommand(t.Context(), c))
		default:
			want = append(want, text)
		}
		if i%5 == 0 {
			_, err := client.Once(t.Context(), &testv1.OnceRequest{})
			require.NoError(t, err)
		}
	}
	require.Equal(t, want, texts(t, list(t, a, aegisadmin.CommandFilter{Method: "Work"})))
	all := list(t, a, aegisadmin.CommandFilter{})
	require.Len(t, all, len(want)+60)
	require.True(t, slices.IsSortedFunc(all, func(a, b *aegisadmin.Command) int { return cmp.Compare(a.Sequence, b.Sequence) }))
}

// A worker stores the result before the command leaves the queue: between the two the command
// has ended.
func TestCommandWithAResultHasEndedThoughItIsQueued(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	a, client := aegisadmin.New(conn), newJobs(t, conn)
	startWorker(t, n, func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		return &testv1.WorkResponse{}, nil
	})() // which makes the stream of results, and is gone
	cmd := send(t, client, "waits")
	result := nats.NewMsg("aegis.res." + jobService + "." + cmd.ID() + ".result")
	result.Header.Set("Aegis-State", "SUCCEEDED")
	result.Header.Set("Aegis-Attempt", "1")
	_, err := conn.NATS().RequestMsg(result, 10*time.Second)
	require.NoError(t, err)
	c, err := a.Command(t.Context(), jobService, cmd.ID())
	require.NoError(t, err)
	require.Equal(t, aegisadmin.Succeeded, c.State)
}
