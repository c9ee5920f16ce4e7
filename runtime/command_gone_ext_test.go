package aegis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Whoever waits for a command that is gone is told so, and does not wait for ever.
func TestResultOfACommandThatIsGoneIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	live, keyed := send(t, client, ""), send(t, client, "", aegis.DedupeKey("k"))
	byID := aegistestv1aegis.JobServiceWorkCommand(another(t, conn), live.ID())
	waiting := map[string]<-chan result[string]{}
	for name, cmd := range map[string]*workCommand{"live": live, "keyed": keyed, "by id": byID} {
		waiting[name] = async(func() (string, error) { return outcome(t.Context(), cmd) })
	}
	reports := async(func() (any, error) {
		for _, err := range live.Progress(t.Context()) {
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	status, err := live.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CommandQueued, status.State)
	purge(t, conn, commandStream)
	for name, c := range waiting {
		err := receive(t, name+" ends", c).err
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err), "%s: %v", name, err)
	}
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(receive(t, "the reports end", reports).err))
}

// The error of one who waits in vain says where the command is.
func TestDeadlineOfAResultSaysWhereTheCommandIs(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	wait := func(cmd *workCommand) error {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		_, err := cmd.Result(ctx)
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, aegis.IsWireError(err))
		return err
	}
	cmd := send(t, client, "")
	require.ErrorContains(t, wait(cmd), "it is QUEUED, no worker has begun it")
	require.ErrorContains(t, wait(aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID())), "it is QUEUED, no worker has begun it")
	require.ErrorContains(t, wait(send(t, client, "", aegis.NotBefore(time.Now().Add(time.Hour)))), "it is SCHEDULED, not due yet")
	worker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		for {
			if err := job.Report(ctx, aegis.Progress{Percent: 1}); err != nil {
				return nil, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}})
	eventually(t, "it runs", func() bool { return state(t, cmd) == aegis.CommandRunning })
	require.ErrorContains(t, wait(cmd), "it is RUNNING, attempt 1")
	require.NoError(t, cmd.Cancel(t.Context()))
}

// An answer that takes longer than a read waits before it asks once more is taken
// when it comes.
func TestWhatIsStoredIsReadThoughTheAPIIsSlow(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, conn, jobs{})
	cmd := send(t, newJobClient(t, conn), "done", aegis.DedupeKey("k"))
	require.Equal(t, "done", mustResult(t, cmd))
	slow := through(t, conn, 1300*time.Millisecond, func(m *lossy.Message) lossy.Fate {
		if strings.Contains(string(m.Payload), "stream_msg_get_response") {
			return lossy.Delayed
		}
		return lossy.Passed
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	status, err := aegistestv1aegis.JobServiceWorkCommand(slow, cmd.ID()).Status(ctx)
	require.NoError(t, err)
	require.Equal(t, aegis.CommandSucceeded, status.State)
	again, err := newJobClient(t, slow).Work(ctx, &testv1.WorkRequest{Text: "again"}, aegis.DedupeKey("k"))
	require.NoError(t, err)
	require.Equal(t, cmd.ID(), again.ID())
}
