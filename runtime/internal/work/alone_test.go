package work

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func mustBegin(t *testing.T, a *Alone, suspect bool) Pass {
	t.Helper()
	p, ok := a.Begin(t.Context(), suspect)
	require.True(t, ok)
	return p
}

// beginning is begin in a goroutine.
func beginning(t *testing.T, a *Alone, suspect bool) <-chan Pass {
	t.Helper()
	begun := make(chan Pass, 1)
	go func() {
		if p, ok := a.Begin(t.Context(), suspect); ok {
			begun <- p
		}
	}()
	return begun
}

func soon[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(15 * time.Second):
		t.Fatalf("%s: nothing came", what)
	}
	return v
}

func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, 15*time.Second, time.Millisecond, what)
}

// However many come and go at once, no suspect runs beside anything else, and all
// of them run.
func TestSuspectsRunAlone(t *testing.T) {
	t.Parallel()
	a := NewAlone()
	var running, suspects, wrong, ran atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 200 {
				suspect := (i+n)%7 == 0
				p, ok := a.Begin(t.Context(), suspect)
				if !ok {
					return
				}
				now := running.Add(1)
				if suspect {
					suspects.Add(1)
				}
				if suspects.Load() > 0 && now != 1 {
					wrong.Add(1)
				}
				time.Sleep(10 * time.Microsecond)
				if suspect {
					suspects.Add(-1)
				}
				running.Add(-1)
				a.End(p)
				ran.Add(1)
			}
		})
	}
	all.Wait()
	require.Zero(t, wrong.Load())
	require.EqualValues(t, 16*200, ran.Load())
	require.Zero(t, a.suspects.Load())
	require.Zero(t, a.crowd.Load().running.Load())
}

func TestSuspectDoesNotWaitForHandlersThatTakeLong(t *testing.T) {
	t.Parallel()
	a := NewAlone()
	a.patience = 10 * time.Millisecond
	long := mustBegin(t, a, false)
	first := soon(t, "the patience is over", beginning(t, a, true))
	a.End(first)
	a.patience = time.Hour // one that was waited for in vain is not waited for again
	second := soon(t, "the next one", beginning(t, a, true))
	other := beginning(t, a, false)
	becomes(t, "another one waits", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.current.waiting == 1
	})
	require.Empty(t, other)
	a.End(second)
	p := soon(t, "it is let in", other)
	third := beginning(t, a, true)
	becomes(t, "the next one waits for it", func() bool { return a.suspects.Load() == 1 && len(a.turn) == 1 })
	require.Empty(t, third)
	a.End(p)
	a.End(soon(t, "then it begins", third))
	a.End(long)
	require.Zero(t, a.crowd.Load().running.Load())
}

func TestSuspectThatTakesLongKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	a := NewAlone()
	long := mustBegin(t, a, true)
	other := beginning(t, a, false)
	becomes(t, "another one waits", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.current.waiting == 1
	})
	long.turn.timer.Reset(0) // the time is over
	a.End(soon(t, "it is let in", other))
	a.End(soon(t, "so is another suspect", beginning(t, a, true)))
	a.End(long)
	a.End(mustBegin(t, a, true))
	require.Zero(t, a.suspects.Load())
}

func TestWaitingForSuspectsEndsWithTheContext(t *testing.T) {
	t.Parallel()
	a := NewAlone()
	long := mustBegin(t, a, true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool, 3)
	for _, suspect := range []bool{false, true, false} {
		go func() {
			_, ok := a.Begin(ctx, suspect)
			ended <- ok
		}()
	}
	becomes(t, "all wait", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.current.waiting == 2 && a.suspects.Load() == 2
	})
	cancel()
	for range 3 {
		require.False(t, soon(t, "it waits no longer", ended))
	}
	a.End(long)
	require.Zero(t, a.suspects.Load())
	require.Zero(t, a.crowd.Load().running.Load())
	a.patience = time.Hour
	a.End(mustBegin(t, a, false))
	a.End(mustBegin(t, a, true))
}

func BenchmarkBeginWithoutSuspects(b *testing.B) {
	a := NewAlone()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		p, _ := a.Begin(ctx, false)
		a.End(p)
	}
}
