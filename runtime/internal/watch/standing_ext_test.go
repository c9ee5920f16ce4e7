package watch_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/watch"
)

func TestWatchersOfWhatStandsReadThatFirstAndThenEachChange(t *testing.T) {
	t.Parallel()
	var standing watch.Standing[string, string]
	standing.Tell("a", "a begins", true)
	standing.Tell("b", "b begins", true)
	standing.Tell("b", "b ends", false)
	require.Equal(t, []string{"a begins"}, standing.Now())
	var read []string
	for change := range standing.Watch(t.Context()) {
		if read = append(read, change); len(read) == 1 {
			standing.Tell("a", "a begins anew", true)
			standing.Tell("c", "c begins", true)
			standing.Close()
		}
	}
	require.Equal(t, []string{"a begins", "a begins anew", "c begins"}, read)
	now := standing.Now()
	slices.Sort(now)
	require.Equal(t, []string{"a begins anew", "c begins"}, now)
}
