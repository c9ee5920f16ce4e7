package aegis_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// An interceptor has the last word: what it fails has no acknowledgement, also
// if the event is stored.
func TestWhatAnInterceptorFailsHasNoAcknowledgement(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	fails := intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		_, err := next(ctx, req)
		require.NoError(t, err)
		return nil, errWrong
	})
	pub := newPublisher(t, conn, fails)
	ack, err := pub.Stored(t.Context(), stored("a"))
	require.ErrorContains(t, err, errWrong.Error())
	require.Nil(t, ack)
	future, err := pub.StoredAsync(t.Context(), stored("b"))
	require.ErrorContains(t, err, errWrong.Error())
	require.Nil(t, future)
	cmd, err := newJobClient(t, conn, fails).Work(t.Context(), &testv1.WorkRequest{})
	require.ErrorContains(t, err, errWrong.Error())
	require.Nil(t, cmd)

	// One that tries again has what the last attempt has stored.
	again := intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		_, err := next(ctx, req)
		require.NoError(t, err)
		return next(ctx, req)
	})
	ack, err = newPublisher(t, conn, again).Stored(t.Context(), stored("c"))
	require.NoError(t, err)
	eventually(t, "all of them are stored", func() bool {
		stream, err := jetStream(t, conn).Stream(t.Context(), eventStream)
		return err == nil && stream.CachedInfo().State.LastSeq == 4
	})
	require.Equal(t, uint64(4), ack.Sequence)
}
