package quiet

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// tellings are what an interruptions has told.
type tellings struct {
	Interruptions

	lines []string
}

func newTellings(least time.Duration) *tellings {
	t := &tellings{}
	t.Least = least
	t.Lasts = func(since time.Duration) { t.lines = append(t.lines, fmt.Sprintf("lasts %v", since)) }
	t.Over = func(times Times) {
		t.lines = append(t.lines, fmt.Sprintf("%d times %v, longest %v", times.Count, times.Total, times.Longest))
	}
	return t
}

func (t *tellings) interrupt(d time.Duration) {
	t.Begin(time.Now())
	time.Sleep(d)
	t.End(time.Now())
}

func (t *tellings) told() []string {
	synctest.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	t.lines = nil
	return lines
}

func TestManyInterruptionsMakeOneLineAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := newTellings(time.Second)
		defer told.Stop()
		told.interrupt(150 * time.Millisecond)
		require.Equal(t, []string{"1 times 150ms, longest 150ms"}, told.told(), "the first one at once")
		for range 40 {
			time.Sleep(time.Second)
			told.interrupt(200 * time.Millisecond)
		}
		require.Empty(t, told.told())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"40 times 8s, longest 200ms"}, told.told())
		time.Sleep(10 * time.Minute)
		require.Empty(t, told.told())
	})
}

func TestAnInterruptionThatLastsIsToldMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := newTellings(time.Second)
		defer told.Stop()
		told.Begin(time.Now())
		told.Begin(time.Now()) // is the same
		time.Sleep(999 * time.Millisecond)
		require.Empty(t, told.told())
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"lasts 1s", "lasts 1m1s"}, told.told())
		told.End(time.Now())
		told.End(time.Now())
		require.Equal(t, []string{"1 times 2m0.999s, longest 2m0.999s"}, told.told())
	})
}

func TestInterruptionsThatAreToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := newTellings(0)
		defer told.Stop()
		told.interrupt(time.Second)
		require.Equal(t, []string{"lasts 0s", "1 times 1s, longest 1s"}, told.told())
		told.interrupt(time.Second) // again within a minute
		require.Empty(t, told.told())
		told.Begin(time.Now())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"lasts 59s"}, told.told())
		told.End(time.Now())
		require.Equal(t, []string{"2 times 1m1s, longest 1m0s"}, told.told())
		told.Begin(time.Now())
		told.Stop()
		time.Sleep(time.Hour)
		require.Empty(t, told.told())
	})
}
