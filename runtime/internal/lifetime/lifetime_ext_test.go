package lifetime_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/lifetime"
)

func TestGoroutinesEndWithTheLifeAndNoneStartsAfterIt(t *testing.T) {
	t.Parallel()
	l := lifetime.New()
	ended := 0
	require.True(t, l.StartWithin(func(ctx context.Context) {
		<-ctx.Done()
		ended++
	}))
	require.NoError(t, l.Context().Err())
	l.End()
	l.Wait()
	require.Equal(t, 1, ended)
	require.Error(t, l.Context().Err())
	require.False(t, l.Start(func() { ended++ }))
	l.End()
	l.Wait()
	require.Equal(t, 1, ended)
}
