package handling

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCancelsAreKeptForASecond(t *testing.T) {
	t.Parallel()
	var c cancels
	now := time.Now()
	require.False(t, c.take("a"))
	c.add("a", now)
	c.add("b", now)
	require.True(t, c.take("a"))
	require.False(t, c.take("a"), "once")
	c.tidy(now.Add(cancelKept))
	require.EqualValues(t, 1, c.count.Load())
	c.tidy(now.Add(cancelKept + 1))
	require.Zero(t, c.count.Load())
	require.False(t, c.take("b"))
}

// A flood of cancels must not take all memory.
func TestCancelsAreBounded(t *testing.T) {
	t.Parallel()
	var c cancels
	now := time.Now()
	for i := range 3 * maxCancelKept {
		c.add(strconv.Itoa(i), now)
	}
	require.EqualValues(t, maxCancelKept, c.count.Load())
	require.Len(t, c.since, maxCancelKept)
	c.add("new", now.Add(2*cancelKept))
	require.EqualValues(t, 1, c.count.Load(), "old ones make room")
	require.True(t, c.take("new"))
}
