package aegis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestNoHandlerHasRunWhereNothingWasSentOrNobodyListens(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client, chats := newClient(t, conn), newStreamClient(t, conn)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	spoilt, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("nats-mine", "")
	gone := another(t, conn)
	late := newClient(t, gone)
	require.NoError(t, gone.Close(t.Context()))
	for name, do := range map[string]func() error{
		"nobody listens":            func() error { _, err := client.Do(t.Context(), doRequest("")); return err },
		"no instance can be picked": func() error { _, err := client.Do(t.Context(), doRequest(""), aegis.RoundRobin()); return err },
		"no such instance":          func() error { _, err := client.Do(t.Context(), doRequest(""), aegis.ToInstance("nobody")); return err },
		"a stream to nobody":        func() error { _, err := chats.Chat(t.Context()); return err },
		"the context has ended":     func() error { _, err := client.Do(canceled, doRequest("")); return err },
		"metadata cannot travel":    func() error { _, err := client.Do(spoilt, doRequest("")); return err },
		"an option fits no call":    func() error { _, err := client.Do(t.Context(), doRequest(""), aegis.UntilReplies(1)); return err },
		"the request is too large": func() error {
			_, err := client.Do(t.Context(), &testv1.DoRequest{Data: make([]byte, 2<<20)})
			return err
		},
		"the request is no UTF-8":   func() error { _, err := client.Do(t.Context(), doRequest("\xff")); return err },
		"the connection was closed": func() error { _, err := late.Do(t.Context(), doRequest("")); return err },
		"a broadcast nobody listens": func() error {
			_, err := aegis.CollectReplies(newTeller(t, conn).Tell(t.Context(), &testv1.TellRequest{}, aegis.UntilReplies(1)))
			return err
		},
	} {
		err := do()
		require.Error(t, err, name)
		require.False(t, aegis.MayHaveRun(err), "%s: %v", name, err)
	}
}

func TestNoHandlerHasRunWhereAServerRefuses(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{aegis.ReasonOverloaded, aegis.ReasonStopping, aegis.ReasonStale, aegis.ReasonNoMethod} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			standInFor(t, conn, doSubject, func(_ int, msg *natsMsg) { refuseWith(msg, aegis.CodeUnavailable, reason) })
			_, err := newClient(t, conn).Do(t.Context(), doRequest(""), aegis.MaxAttempts(1))
			require.Equal(t, reason, asError(t, err).Reason())
			require.False(t, aegis.MayHaveRun(err))
		})
	}
}

// What a handler was told of another call holds for that one alone.
func TestAHandlerHasRunWhateverItReturns(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn)
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "hang" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, err := client.Do(ctx, doRequest(""), aegis.ToInstance("nobody"))
		return nil, err
	}})
	_, err := client.Do(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.True(t, aegis.MayHaveRun(err))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Do(ctx, doRequest("hang"))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.True(t, aegis.MayHaveRun(err))
}

// The handler of an idempotent call may have run at the first attempt, though the
// second finds nobody.
func TestAnEarlierAttemptIsNotForgotten(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var requests *standIn
	gone := make(chan struct{})
	requests = standInFor(t, conn, getSubject, func(_ int, msg *natsMsg) {
		<-gone
		_ = msg.Sub.Unsubscribe()
		_ = requests.nc.Flush()
		refuseWith(msg, aegis.CodeUnavailable, "")
	})
	close(gone)
	_, err := newClient(t, conn).Get(t.Context(), getRequest(""))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.Equal(t, 1, requests.count())
	require.True(t, aegis.MayHaveRun(err))
}

func TestAStreamThatWasOpenMayHaveRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := runStreams(t, conn, streams{}, aegis.WithStreamGrace(0))
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chat.Send(&testv1.ChatRequest{}))
	_, err = chat.Recv()
	require.NoError(t, err)
	srv.stop()
	_, err = chat.Recv()
	require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
	require.True(t, aegis.MayHaveRun(err))
	require.NoError(t, receive(t, "Run returns", srv.done))
}
