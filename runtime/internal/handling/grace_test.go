package handling

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestGraceWaitsForHandlers(t *testing.T) {
	t.Parallel()
	g := NewGrace(time.Minute, slog.New(slog.DiscardHandler), func() map[string]int {
		t.Error("the time is not over")
		return nil
	})
	defer g.End()
	c := make(chan struct{})
	go close(c)
	require.NoError(t, g.Wait(closed(), c))
}

func TestGraceNamesTheHandlersThatRunOn(t *testing.T) {
	t.Parallel()
	expired, running := 0, make(chan struct{})
	g := NewGrace(0, slog.New(slog.DiscardHandler), func() map[string]int {
		expired++
		close(running) // their contexts have ended, and they return
		return map[string]int{"s.B": 1, "s.A": 2}
	})
	defer g.End()
	require.EqualError(t, g.Wait(running), "aegis: after the grace period of 0s handlers still ran: s.A (2), s.B (1)")
	start := time.Now()
	require.NoError(t, g.Wait(make(chan struct{})), "they have been named")
	require.GreaterOrEqual(t, time.Since(start), abandonTime, "others get a second to return as well")
	require.Equal(t, 1, expired)
}

func TestAGraceOfNothingIsNoErrorWhereNothingRuns(t *testing.T) {
	t.Parallel()
	g := NewGrace(0, slog.New(slog.DiscardHandler), func() map[string]int { return nil })
	defer g.End()
	idle := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { close(idle) })
	require.NoError(t, g.Wait(idle))
}

func TestWhatIsLeftToSendIsNamed(t *testing.T) {
	t.Parallel()
	g := NewGrace(0, slog.New(slog.DiscardHandler), func() map[string]int { return nil })
	defer g.End()
	require.ErrorContains(t, g.Wait(make(chan struct{})), "not all of their replies and results were sent or stored")
}
