package aegis

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	budgetWindow   = 10 * time.Second
	budgetSlotTime = 100 * time.Millisecond
	// One more than fits into the window, which seldom begins with a slot.
	budgetSlots = int(budgetWindow/budgetSlotTime) + 1
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
	number  atomic.Int64 // which slot of time the counts are of
	calls   atomic.Int64
	retries atomic.Int64
}

func newRetryBudget(ratio float64, minPerSecond int) *retryBudget {
	return &retryBudget{ratio: ratio, min: minPerSecond, epoch: time.Now()}
}

// call counts a call.
func (b *retryBudget) call(now time.Time) {
	b.slot(b.number(now)).calls.Add(1)
}

// withdraw counts a retry, if there is budget for it. A slot that is partly in the
// window counts with its retries and without its calls, so that the budget is never
// exceeded.
func (b *retryBudget) withdraw(now time.Time) bool {
	number := b.number(now)
	slot := b.slot(number)
	b.mu.Lock()
	defer b.mu.Unlock()
	var calls, retries int64
	for i := range b.slots {
		s := &b.slots[i]
		switch age := number - s.number.Load(); {
		case age < int64(budgetSlots)-1:
			calls += s.calls.Load()
			retries += s.retries.Load()
		case age == int64(budgetSlots)-1:
			retries += s.retries.Load()
		}
	}
	allowed := max(b.ratio*float64(calls), float64(b.min)*budgetWindow.Seconds())
	if float64(retries+1) > allowed {
		return false
	}
	slot.retries.Add(1)
	return true
}

// number counts from 1, so that the zero slot is never the current one.
func (b *retryBudget) number(now time.Time) int64 {
	return int64(now.Sub(b.epoch)/budgetSlotTime) + 1
}

func (b *retryBudget) slot(number int64) *budgetSlot {
	s := &b.slots[number%int64(budgetSlots)]
	if s.number.Load() == number {
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.number.Load() < number {
		s.calls.Store(0)
		s.retries.Store(0)
		s.number.Store(number)
	}
	return s
}
