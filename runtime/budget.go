package aegis

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	budgetSlots = 10 // of a second each
)

// retryBudget bounds a client's retries to a share of its calls in a sliding
// window (as in Finagle's RetryBudget), so that they cannot multiply an
// overload. It is safe for concurrent use.
type retryBudget struct {
	ratio float64
	min   int // retries a second that are always allowed
	epoch time.Time

	slots [budgetSlots]budgetSlot

	mu sync.Mutex // for what turns a slot over, and for withdrawals
}

type budgetSlot struct {
	second  atomic.Int64 // which second the counts are of
	calls   atomic.Int64
	retries atomic.Int64
}

func newRetryBudget(ratio float64, minPerSecond int) *retryBudget {
	return &retryBudget{ratio: ratio, min: minPerSecond, epoch: time.Now()}
}

// call counts a call.
func (b *retryBudget) call(now time.Time) {
	b.slot(b.second(now)).calls.Add(1)
}

// withdraw counts a retry, if there is budget for it.
func (b *retryBudget) withdraw(now time.Time) bool {
	second := b.second(now)
	slot := b.slot(second)
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls, retries int64
	for i := range b.slots {
		s := &b.slots[i]
		if s.second.Load() > second-budgetSlots {
			calls += s.calls.Load()
			retries += s.retries.Load()
		}
	}
	allowed := max(b.ratio*float64(calls), float64(b.min*budgetSlots))
	if float64(retries+1) > allowed {
		return false
	}
	slot.retries.Add(1)
	return true
}

// second counts from 1, so that the zero slot is never the current one.
func (b *retryBudget) second(now time.Time) int64 {
	return int64(now.Sub(b.epoch)/time.Second) + 1
}

func (b *retryBudget) slot(second int64) *budgetSlot {
	s := &b.slots[second%budgetSlots]
	if s.second.Load() == second {
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.second.Load() < second {
		s.calls.Store(0)
		s.retries.Store(0)
		s.second.Store(second)
	}
	return s
}
