package pull

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignsOfLifeAreInTimeAlsoIfOneIsLate(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 30 * time.Second, time.Hour} {
		// The longest between two: the last look that was too early, and the next.
		require.LessOrEqual(t, max(wait/3, 2*renewal(wait)), wait/2+time.Millisecond, wait)
	}
}

func TestPullersOfAProcessTickTogether(t *testing.T) {
	t.Parallel()
	now := time.Now()
	next := func(p *Puller, after time.Duration) time.Duration {
		at := now.Add(after)
		return at.Add(p.nextTick(at, longestTick)).Sub(now)
	}
	one, other := &Puller{}, &Puller{}
	at := next(one, 0)
	require.LessOrEqual(t, at, longestTick)
	require.Equal(t, at, next(other, at/2))
	require.Equal(t, at+longestTick, next(one, at))

	one.open, one.request.outstanding = true, 1
	one.request.seen = now.Add(at - silence + time.Millisecond)
	require.Equal(t, at+2*time.Millisecond, next(one, at), "what gives no sign of life is noticed in time")
	one.request.seen = now.Add(-time.Hour)
	require.Equal(t, at+longestTick, next(one, at), "the link is down")
}
