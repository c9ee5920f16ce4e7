package leaderview

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPausesBetweenQuestionsGrow(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Now()
	require.LessOrEqual(t, p.wait(now), time.Duration(0), "the first question waits for nothing")
	mean := firstAskPause
	for range 20 {
		p.ask(now)
		require.GreaterOrEqual(t, p.wait(now), mean/2)
		require.Less(t, p.wait(now), mean/2+mean)
		now = now.Add(p.wait(now))
		mean = min(2*mean, longestAskPause)
	}
	require.Equal(t, longestAskPause, mean)
	now = now.Add(2 * longestAskPause)
	p.ask(now)
	require.Less(t, p.wait(now), 2*firstAskPause, "what is asked after a long time is asked for another reason")
}
