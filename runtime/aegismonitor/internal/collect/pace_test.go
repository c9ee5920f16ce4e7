package collect

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
)

func TestReadingTakesAQuarterOfTheTimeAtMost(t *testing.T) {
	t.Parallel()
	p := pace{looked: time.Second, unseen: 8 * time.Second, share: quarter}
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 200 * time.Millisecond: 800 * time.Millisecond, time.Second: 3 * time.Second, time.Minute: 3 * time.Minute,
	} {
		require.Equal(t, want, p.pause(true, took), took)
	}
	require.Equal(t, 7*time.Second, p.pause(false, time.Second))
}

func TestTheFirstLookEndsThePause(t *testing.T) {
	t.Parallel()
	var i interest.Interest
	p := pace{topic: interest.Work, looked: time.Hour, unseen: time.Hour, share: quarter}
	woken := p.woken(&i)
	require.NotNil(t, woken)
	i.Look(interest.Work)
	require.True(t, sleep(t.Context(), time.Hour, woken))
	require.Nil(t, p.woken(&i), "somebody looks already")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, p.wait(ctx, &i, time.Now()))
}

func TestManyLeadersAreAskedLessOften(t *testing.T) {
	t.Parallel()
	require.Equal(t, 50*time.Millisecond, paceOf(0).looked)
	require.Equal(t, 50*time.Millisecond, paceOf(10).looked)
	require.Equal(t, 5*time.Second, paceOf(1000).looked)
	require.Equal(t, time.Second, paceOf(3).unseen)
	require.Equal(t, 20*time.Second, paceOf(1000).unseen)
}
