package aegis

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

func between(t *testing.T, d, least, most time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, d, least)
	require.LessOrEqual(t, d, most)
}

func TestPausesGrowAndAreJittered(t *testing.T) {
	t.Parallel()
	a := &attempt{clientMethod: &clientMethod{method: &spec.Method{
		Retry: spec.Retry{MaxAttempts: 100, InitialBackoff: 100 * time.Millisecond, MaxBackoff: time.Second},
	}}}
	for n, millis := range []int{100, 200, 400, 800, 1000, 1000} {
		want := time.Duration(millis) * time.Millisecond
		a.number = n + 1
		between(t, a.backoff(), want*8/10, want*12/10)
	}
	a.number = 100
	between(t, a.backoff(), 800*time.Millisecond, 1200*time.Millisecond)
	for n, millis := range []int{10, 40, 160, 640, 1000, 1000} {
		want := time.Duration(millis) * time.Millisecond
		between(t, bus.Pause(n+1), want*8/10, want*12/10)
	}
	between(t, bus.Pause(1<<30), 800*time.Millisecond, 1200*time.Millisecond)
	between(t, stale(1), 8*time.Millisecond, 12*time.Millisecond)
	between(t, stale(2), 2*handling.TickInterval, 4*handling.TickInterval) // see handling.PauseDetector
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[bus.Jitter(time.Second)] = true
	}
	require.Greater(t, len(seen), 50)
	require.Zero(t, bus.Jitter(0))
}

func TestBudgetAllowsAShareOfTheCalls(t *testing.T) {
	t.Parallel()
	b := newRetryBudget(0.2, 0)
	now := b.epoch
	require.False(t, b.withdraw(now))
	for range 9 {
		b.call(now)
	}
	require.True(t, b.withdraw(now))
	require.False(t, b.withdraw(now))
	b.call(now)
	require.True(t, b.withdraw(now), "2 of 10")
	require.False(t, b.withdraw(now))
	require.False(t, b.withdraw(now.Add(9*time.Second)), "still within the window")
	require.False(t, b.withdraw(now.Add(11*time.Second)), "the calls are forgotten as well")
}

func TestBudgetAllowsAMinimum(t *testing.T) {
	t.Parallel()
	b := newRetryBudget(0, 3)
	now := b.epoch
	for range 30 {
		require.True(t, b.withdraw(now))
	}
	require.False(t, b.withdraw(now.Add(10*time.Second)))
	next := now.Add(10*time.Second + budgetSlotTime)
	for range 30 {
		require.True(t, b.withdraw(next))
	}
	require.False(t, b.withdraw(next))
	late := next.Add(950 * time.Millisecond) // in the middle of a second
	require.False(t, b.withdraw(late.Add(9*time.Second)))
	require.True(t, b.withdraw(now.Add(time.Hour)), "after a long silence")
}

// Whatever happens when: within the ten seconds that it looks back on, the
// budget is never exceeded, and it forbids nothing that is far from that.
func TestBudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		ratio, minimum := float64(r.IntN(100))/50, r.IntN(4)
		b := newRetryBudget(ratio, minimum)
		var calls, retries []time.Time
		fits := func(now time.Time, callsWithin, retriesWithin time.Duration) bool {
			c, n := since(calls, now.Add(-callsWithin)), since(retries, now.Add(-retriesWithin))
			return float64(n+1) <= max(ratio*float64(c), float64(10*minimum))
		}
		now := b.epoch
		for range 2000 {
			switch r.IntN(20) {
			case 0:
				now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
			case 1:
				if r.IntN(20) == 0 {
					now = now.Add(time.Duration(r.IntN(60)) * time.Second)
				}
			default:
				now = now.Add(time.Duration(r.IntN(20)) * time.Millisecond)
			}
			if r.IntN(2) == 0 {
				b.call(now)
				calls = append(calls, now)
				continue
			}
			if b.withdraw(now) {
				require.True(t, fits(now, budgetWindow, budgetWindow), "seed %d", seed)
				retries = append(retries, now)
			} else {
				require.False(t, fits(now, budgetWindow-budgetSlotTime, budgetWindow+budgetSlotTime), "seed %d", seed)
			}
		}
	}
}

// since counts what was not before a time; times are in order.
func since(times []time.Time, least time.Time) int {
	at, _ := slices.BinarySearchFunc(times, least, time.Time.Compare)
	return len(times) - at
}

func TestBudgetIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := newRetryBudget(0, 10)
	allowed := make(chan bool, 400)
	for range 4 {
		go func() {
			for i := range 100 {
				now := b.epoch.Add(time.Duration(i) * time.Millisecond)
				b.call(now)
				allowed <- b.withdraw(now)
			}
		}()
	}
	n := 0
	for range cap(allowed) {
		if <-allowed {
			n++
		}
	}
	require.Equal(t, 100, n)
}
