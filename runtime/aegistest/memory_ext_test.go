package aegistest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestInABubbleADayOfWaitingTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := aegistest.NewMemory(t)
		serveJobs(t, mem.Conn(), jobs{work: func(_ context.Context, job *aegis.Job, _ string) (*testv1.WorkResponse, error) {
			if job.Attempt < 3 {
				return nil, errors.New("again")
			}
			return &testv1.WorkResponse{Text: time.Now().Format(time.DateOnly)}, nil
		}})
		client, err := aegistestv1aegis.NewJobServiceClient(mem.Conn())
		require.NoError(t, err)
		tomorrow := time.Now().Add(24 * time.Hour)
		cmd, err := client.Work(t.Context(), &testv1.WorkRequest{}, aegis.NotBefore(tomorrow))
		require.NoError(t, err)
		res, err := cmd.Result(t.Context())
		require.NoError(t, err)
		assert.Equal(t, tomorrow.Format(time.DateOnly), res.GetText())
		assert.GreaterOrEqual(t, time.Since(tomorrow), 10*time.Millisecond, "the pauses between the attempts")
	})
}

// Nobody waits for the NATS that a Memory stands for, and a warning beside a test that has failed
// would lead astray.
func TestAMemoryDoesNotMissNATS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		mem := aegistest.NewMemory(t, aegis.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		serveJobs(t, mem.Conn(), jobs{})
		time.Sleep(time.Hour) // in the bubble
		synctest.Wait()
		assert.NotContains(t, log.String(), "NATS")
	})
}

func TestAMemoryKeepsWhatWasPublishedAndSentAndGivenUp(t *testing.T) {
	t.Parallel()
	mem := aegistest.NewMemory(t)
	pub := publisher(t, mem.Conn())
	ctx, call := aegis.NewCall(deadline(t))
	call.RequestHeader().Set("who", "me")
	ev := &testv1.StoredRequest{Text: "a"}
	_, err := pub.Stored(ctx, ev, aegis.MessageID("1"))
	require.NoError(t, err)
	ev.Text = "changed later"
	_, err = pub.Stored(ctx, ev, aegis.MessageID("1")) // a duplicate
	require.NoError(t, err)
	require.NoError(t, pub.Core(deadline(t), &testv1.CoreRequest{Text: "b"}))
	subscribe(t, mem.Conn(), aegistestv1aegis.EventServiceEvents{
		Stored: func(context.Context, *testv1.StoredRequest) error {
			return aegis.Permanent(aegis.NewError(aegis.CodeNotFound, "no such account"))
		},
	}, aegis.StartFrom(aegis.StartAll()))
	client, err := aegistestv1aegis.NewJobServiceClient(mem.Conn())
	require.NoError(t, err)
	cmd, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "c"})
	require.NoError(t, err)
	mem.Settle(t)

	published := mem.Published()
	require.Len(t, published, 2)
	assert.Equal(t, aegistestv1aegis.EventServiceStoredFullName, published[0].Method)
	assert.Equal(t, "1", published[0].ID)
	assert.Equal(t, uint64(1), published[0].Sequence)
	assert.Equal(t, "me", published[0].Header.Get("who"))
	stored := aegistest.Bodies[testv1.StoredRequest](published)
	require.Len(t, stored, 1)
	assert.Equal(t, "a", stored[0].GetText())

	sent := mem.Sent()
	require.Len(t, sent, 1)
	assert.Equal(t, cmd.ID(), sent[0].ID)
	assert.Equal(t, "c", aegistest.Bodies[testv1.WorkRequest](sent)[0].GetText())

	letters := mem.DeadLetters()
	require.Len(t, letters, 1)
	assert.Equal(t, 1, letters[0].Attempts)
	assert.Equal(t, aegis.CodeNotFound, aegis.CodeOf(letters[0].Err))
	assert.Equal(t, aegistestv1aegis.EventServiceStoredFullName, letters[0].Method)
}

func TestANewGroupBeginsWhereItsPositionSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := aegistest.NewMemory(t)
		pub := publisher(t, mem.Conn())
		began := time.Now()
		for _, text := range []string{"a", "b", "c"} {
			_, err := pub.Stored(t.Context(), &testv1.StoredRequest{Text: text})
			require.NoError(t, err)
			time.Sleep(time.Minute) // in the bubble
		}
		for position, want := range map[aegis.Position]string{
			aegis.StartAll(): "abc", aegis.StartSequence(2): "bc", aegis.StartTime(began.Add(90 * time.Second)): "c", aegis.StartNew(): "",
		} {
			got := ""
			group := "g" + want
			subscribe(t, mem.Conn(), aegistestv1aegis.EventServiceEvents{
				Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
					got += ev.GetText()
					return nil
				},
			}, aegis.Compete(group), aegis.StartFrom(position))
			mem.Settle(t)
			synctest.Wait()
			assert.Equal(t, want, got)
		}
	})
}

func TestWhatNeedsNATSSaysSoInAMemory(t *testing.T) {
	t.Parallel()
	mem := aegistest.NewMemory(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := mem.Conn().Instances(ctx, aegistestv1aegis.JobServiceName)
	require.Error(t, err)
}
