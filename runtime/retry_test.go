package aegis

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
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
		between(t, notDelivered(n+1), want*8/10, want*12/10)
	}
	between(t, notDelivered(1<<30), 800*time.Millisecond, 1200*time.Millisecond)
	between(t, stale(1), 8*time.Millisecond, 12*time.Millisecond)
	between(t, stale(2), 2*tickInterval, 4*tickInterval) // see pauseDetector.ticked
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[jitter(time.Second)] = true
	}
	require.Greater(t, len(seen), 50)
	require.Zero(t, jitter(0))
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
	require.False(t, b.withdraw(now.Add(10*time.Second)), "the calls are forgotten as well")
}

func TestBudgetAllowsAMinimum(t *testing.T) {
	t.Parallel()
	b := newRetryBudget(0, 3)
	now := b.epoch
	for range 30 {
		require.True(t, b.withdraw(now))
	}
	require.False(t, b.withdraw(now.Add(9*time.Second)))
	for range 30 {
		require.True(t, b.withdraw(now.Add(10*time.Second)))
	}
	require.False(t, b.withdraw(now.Add(10*time.Second)))
	require.True(t, b.withdraw(now.Add(time.Hour)), "after a long silence")
}

// Whatever happens when: within the ten seconds that it looks back on, the
// budget is never exceeded.
func TestBudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		ratio, minimum := float64(r.IntN(100))/50, r.IntN(4)
		b := newRetryBudget(ratio, minimum)
		calls, retries := map[int64]int{}, map[int64]int{} // by second
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
			second := int64(now.Sub(b.epoch) / time.Second)
			if r.IntN(2) == 0 {
				b.call(now)
				calls[second]++
				continue
			}
			c, n := 0, 0
			for s := second - 9; s <= second; s++ {
				c, n = c+calls[s], n+retries[s]
			}
			want := float64(n+1) <= max(ratio*float64(c), float64(10*minimum))
			require.Equal(t, want, b.withdraw(now), "seed %d", seed)
			if want {
				retries[second]++
			}
		}
	}
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
