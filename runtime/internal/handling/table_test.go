package handling

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATableChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	var table Table[int]
	_, ok := table.Find("a")
	require.False(t, ok, "an empty table has no routes")
	table.Add(map[string]int{"a": 1, "b": 2})
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if route, ok := table.Find("a"); !ok || route != 1 {
					t.Error("the route of a was away")
					return
				}
			}
		})
	}
	for range 1000 {
		table.Add(map[string]int{"c": 3})
		table.Remove(func(route int) bool { return route == 3 })
	}
	close(stop)
	readers.Wait()
	_, ok = table.Find("c")
	require.False(t, ok)
	route, ok := table.Find("b")
	require.True(t, ok)
	require.Equal(t, 2, route)
}
