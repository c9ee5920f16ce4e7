package handling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ticking is a PauseDetector with a clock of its own.
type ticking struct {
	PauseDetector
	now time.Time
}

func newTicking() *ticking {
	p := &ticking{now: time.Now()}
	p.Start(p.now)
	return p
}

func (p *ticking) after(d time.Duration) []byte {
	p.now = p.now.Add(d)
	return p.Ticked(p.now)
}

func (p *ticking) isStale() bool { return p.Stale(p.now) }

func TestTicksInTimeAreNoPause(t *testing.T) {
	t.Parallel()
	p := newTicking()
	for range 50 {
		require.Nil(t, p.after(TickInterval))
		require.False(t, p.isStale())
		require.Nil(t, p.after(TickInterval+TickLateness), "late, but not too late")
		require.False(t, p.isStale())
	}
}

func TestAfterAPauseRequestsAreStaleUntilAMessageToOneselfIsBack(t *testing.T) {
	t.Parallel()
	p := newTicking()
	barrier := p.after(TickInterval + TickLateness + 1)
	require.NotNil(t, barrier)
	for range 5 {
		require.True(t, p.isStale())
		require.Nil(t, p.after(TickInterval))
	}
	p.Returned(barrier)
	require.True(t, p.isStale(), "what was taken off the queue before it may not have been looked at yet")
	require.Nil(t, p.after(TickInterval))
	require.True(t, p.isStale(), "the tick may have come right after it")
	require.Nil(t, p.after(TickInterval))
	require.False(t, p.isStale())
	require.Nil(t, p.after(TickInterval))
	require.False(t, p.isStale())
}

// The worker may be faster than the ticker.
func TestPauseIsNoticedBeforeTheTick(t *testing.T) {
	t.Parallel()
	p := newTicking()
	p.after(TickInterval)
	p.now = p.now.Add(TickInterval + TickLateness)
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
		second = p.after(TickInterval)
	}
	require.Equal(t, 10, n)
	require.NotEqual(t, first, second)
	p.Returned(first) // was only late
	for range 5 {
		p.after(TickInterval)
		require.True(t, p.isStale(), "the first does not count any more")
	}
	p.Returned(second)
	p.after(TickInterval)
	p.after(TickInterval)
	require.False(t, p.isStale())
}

func TestASecondPauseStartsAnew(t *testing.T) {
	t.Parallel()
	p := newTicking()
	first := p.after(time.Minute)
	p.Returned(first)
	p.after(TickInterval)
	second := p.after(time.Minute)
	require.NotNil(t, second)
	p.after(TickInterval)
	require.True(t, p.isStale())
	p.Returned(second)
	p.after(TickInterval)
	require.True(t, p.isStale())
	p.after(TickInterval)
	require.False(t, p.isStale())
}

func TestRubbishIsNoMessageToOneself(t *testing.T) {
	t.Parallel()
	p := newTicking()
	p.after(time.Minute)
	for _, payload := range []string{"", "x", "-1", "2", "18446744073709551616"} {
		p.Returned([]byte(payload))
	}
	p.after(TickInterval)
	p.after(TickInterval)
	require.True(t, p.isStale())
}

func TestTicksAreFewWithoutRequests(t *testing.T) {
	t.Parallel()
	p := newTicking()
	ticks := func(d time.Duration) (n int) {
		for end := p.now.Add(d); p.now.Before(end); n++ {
			p.after(p.Next())
		}
		return n
	}
	require.Equal(t, 100, ticks(restsAfter))
	require.Equal(t, 40, ticks(10*time.Second))
	require.False(t, p.isStale())
	require.Equal(t, 100, ticks(restsAfter), "there was a request")

	p.Next()
	p.now = p.now.Add(restInterval)
	p.Ticked(p.now)
	p.now = p.now.Add(TickInterval + TickLateness + 1)
	require.True(t, p.isStale(), "a pause is noticed as soon as ever")
	p.Ticked(p.now)
	require.Equal(t, TickInterval, p.Next(), "and looked after as often")
}
