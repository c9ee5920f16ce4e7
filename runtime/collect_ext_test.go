package aegis_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// collect makes a broadcast until no instance takes itself for one that was paused, as
// on a busy machine; it handles nothing then.
func collect(t *testing.T, client aegistestv1aegis.BroadcastServiceClient) (all []aegis.Reply[testv1.TellResponse], err error) {
	t.Helper()
	eventually(t, "nobody is paused", func() bool {
		all, err = aegis.CollectReplies(client.Tell(t.Context(), &testv1.TellRequest{}))
		return !slices.ContainsFunc(all, func(r aegis.Reply[testv1.TellResponse]) bool { return stale(r.Err) })
	})
	return all, err
}

func stale(err error) bool {
	e, ok := errors.AsType[*aegis.Error](err)
	return ok && e.Reason() == aegis.ReasonStale
}

// A broadcast whose iterator nobody ranges over sends nothing, and nothing says so.
func TestBroadcastThatIsCollectedIsSent(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var handled atomic.Int32
	count := func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		handled.Add(1)
		return &testv1.TellResponse{InstanceName: instanceOf(ctx)}, nil
	}
	serveTell(t, conn, "a", count)
	serveTell(t, conn, "b", count)
	known(t, conn, teller, 2)
	client := newTeller(t, conn)
	client.Tell(t.Context(), &testv1.TellRequest{}) // is not sent
	require.Zero(t, handled.Load())
	all, err := collect(t, client)
	require.NoError(t, err)
	require.GreaterOrEqual(t, handled.Load(), int32(2))
	var names []string
	for _, r := range all {
		names = append(names, r.Instance+" "+r.Msg.GetInstanceName())
	}
	slices.Sort(names)
	require.Equal(t, []string{"a a", "b b"}, names)
}

func TestCollectedRepliesNameWhoHasFailed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveTell(t, conn, "good", tell)
	for _, name := range []string{"bad", "worse"} {
		serveTell(t, conn, name, func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
			return nil, aegis.NewError(aegis.CodeAborted, "not me")
		})
	}
	known(t, conn, teller, 3)
	all, err := collect(t, newTeller(t, conn))
	require.Len(t, all, 3)
	require.ErrorContains(t, err, "bad: ABORTED: not me")
	require.ErrorContains(t, err, "worse: ABORTED: not me")
	require.NotContains(t, err.Error(), "good")
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err))

	all, err = aegis.CollectReplies(newTeller(t, connect(t)).Tell(t.Context(), &testv1.TellRequest{}))
	require.Len(t, all, 1)
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	_, err = aegis.CollectReplies[testv1.TellResponse](nil)
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}
