package retry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBudgetAllowsAShareOfTheCalls(t *testing.T) {
	t.Parallel()
	b := NewBudget(0.2, 0)
	now := b.epoch
	require.False(t, b.Withdraw(now))
	for range 9 {
		b.Call(now)
	}
	require.True(t, b.Withdraw(now))
	require.False(t, b.Withdraw(now))
	b.Call(now)
	require.True(t, b.Withdraw(now), "2 of 10")
	require.False(t, b.Withdraw(now))
	require.False(t, b.Withdraw(now.Add(9*time.Second)), "still within the window")
	require.False(t, b.Withdraw(now.Add(11*time.Second)), "the calls are forgotten as well")
}

func TestBudgetAllowsAMinimum(t *testing.T) {
	t.Parallel()
	b := NewBudget(0, 3)
	now := b.epoch
	for range 30 {
		require.True(t, b.Withdraw(now))
	}
	require.False(t, b.Withdraw(now.Add(10*time.Second)))
	next := now.Add(10*time.Second + budgetSlotTime)
	for range 30 {
		require.True(t, b.Withdraw(next))
	}
	require.False(t, b.Withdraw(next))
	late := next.Add(950 * time.Millisecond) // in the middle of a second
	require.False(t, b.Withdraw(late.Add(9*time.Second)))
	require.True(t, b.Withdraw(now.Add(time.Hour)), "after a long silence")
}

// Whatever happens when: within the ten seconds that it looks back on, the
// budget is never exceeded, and it forbids nothing that is far from that.
func TestBudgetIsNeverExceeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		ratio, minimum := float64(r.IntN(100))/50, r.IntN(4)
		b := NewBudget(ratio, minimum)
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
				b.Call(now)
				calls = append(calls, now)
				continue
			}
			if b.Withdraw(now) {
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
	b := NewBudget(0, 10)
	allowed := make(chan bool, 400)
	for range 4 {
		go func() {
			for i := range 100 {
				now := b.epoch.Add(time.Duration(i) * time.Millisecond)
				b.Call(now)
				allowed <- b.Withdraw(now)
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
