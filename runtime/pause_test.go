package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ticking is a pauseDetector with a clock of its own.
type ticking struct {
	pauseDetector
	now time.Time
}

func newTicking() *ticking {
	p := &ticking{now: time.Now()}
	p.init(p.now)
	return p
}

func (p *ticking) after(d time.Duration) []byte {
	p.now = p.now.Add(d)
	return p.ticked(p.now)
}

func (p *ticking) isStale() bool { return p.stale(p.now) }

func TestTicksInTimeAreNoPause(t *testing.T) {
	t.Parallel()
	p := newTicking()
	for range 50 {
		require.Nil(t, p.after(tickInterval))
		require.False(t, p.isStale())
		require.Nil(t, p.after(tickInterval+tickLateness), "late, but not too late")
		require.False(t, p.isStale())
	}
}

func TestAfterAPauseRequestsAreStaleUntilAMessageToOneselfIsBack(t *testing.T) {
	t.Parallel()
	p := newTicking()
	barrier := p.after(tickInterval + tickLateness + 1)
	require.NotNil(t, barrier)
	for range 5 {
		require.True(t, p.isStale())
		require.Nil(t, p.after(tickInterval))
	}
	p.returned(barrier)
	require.True(t, p.isStale(), "what was taken off the queue before it may not have been looked at yet")
	require.Nil(t, p.after(tickInterval))
	require.True(t, p.isStale(), "the tick may have come right after it")
	require.Nil(t, p.after(tickInterval))
	require.False(t, p.isStale())
	require.Nil(t, p.after(tickInterval))
	require.False(t, p.isStale())
}

// The worker may be faster than the ticker.
func TestPauseIsNoticedBeforeTheTick(t *testing.T) {
	t.Parallel()
	p := newTicking()
	p.after(tickInterval)
	p.now = p.now.Add(tickInterval + tickLateness)
	require.False(t, p.isStale())
	p.now = p.now.Add(1)
	require.True(t, p.isStale())
	require.False(t, p.suspect.Load(), "nobody has told it")
}

func TestLostMessageToOneselfIsSentAgain(t *testing.T) {
	t.Parallel()
	p := newTicking()
	first := p.after(time.Minute)
	require.NotNil(t, first)
	var second []byte
	n := 0
	for ; second == nil; n++ {
		second = p.after(tickInterval)
	}
	require.Equal(t, 10, n)
	require.NotEqual(t, first, second)
	p.returned(first) // was only late
	for range 5 {
		p.after(tickInterval)
		require.True(t, p.isStale(), "the first does not count any more")
	}
	p.returned(second)
	p.after(tickInterval)
	p.after(tickInterval)
	require.False(t, p.isStale())
}

func TestASecondPauseStartsAnew(t *testing.T) {
	t.Parallel()
	p := newTicking()
	first := p.after(time.Minute)
	p.returned(first)
	p.after(tickInterval)
	second := p.after(time.Minute)
	require.NotNil(t, second)
	p.after(tickInterval)
	require.True(t, p.isStale())
	p.returned(second)
	p.after(tickInterval)
	require.True(t, p.isStale())
	p.after(tickInterval)
	require.False(t, p.isStale())
}

func TestRubbishIsNoMessageToOneself(t *testing.T) {
	t.Parallel()
	p := newTicking()
	p.after(time.Minute)
	for _, payload := range []string{"", "x", "-1", "2", "18446744073709551616"} {
		p.returned([]byte(payload))
	}
	p.after(tickInterval)
	p.after(tickInterval)
	require.True(t, p.isStale())
}
