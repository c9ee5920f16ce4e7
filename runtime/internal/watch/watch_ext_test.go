package watch_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/watch"
)

func TestEachReaderReadsAllChangesAtItsOwnPace(t *testing.T) {
	t.Parallel()
	var changes watch.Changes[int]
	early := changes.Read(nil)
	for i := range 1000 {
		changes.Tell(i)
	}
	late := changes.Read([]int{-1})
	changes.Tell(1000)
	for i := range 1001 {
		got, ok := early.Next(t.Context())
		require.True(t, ok)
		require.Equal(t, i, got)
	}
	for _, want := range []int{-1, 1000} {
		got, ok := late.Next(t.Context())
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

func TestReaderThatWaitsEndsWithItsContextAndWithTheChanges(t *testing.T) {
	t.Parallel()
	var changes watch.Changes[int]
	read := func(ctx context.Context) <-chan bool {
		r := changes.Read(nil)
		ended := make(chan bool, 1)
		go func() {
			defer r.Close()
			_, ok := r.Next(ctx)
			ended <- ok
		}()
		return ended
	}
	ctx, cancel := context.WithCancel(t.Context())
	canceled, waiting := read(ctx), read(t.Context())
	cancel()
	require.False(t, <-canceled)
	changes.Tell(7)
	require.True(t, <-waiting)
	waiting = read(t.Context())
	changes.Close()
	require.False(t, <-waiting)
	unread := changes.Read([]int{1})
	_, ok := unread.Next(t.Context())
	require.True(t, ok, "a reader that comes after the end reads its own")
	_, ok = unread.Next(t.Context())
	require.False(t, ok)
}
