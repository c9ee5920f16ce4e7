package retry

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

// Budget bounds a client's retries to a share of its calls in a sliding window (as in
// Finagle's RetryBudget), so that retries cannot multiply an overload. It is safe for
// concurrent use.
type Budget struct {
	ratio float64
	min   int // retries a second that are always allowed
	epoch time.Time

	slots [budgetSlots]budgetSlot

	mu sync.Mutex // held to give a slot to another time, and to withdraw
}

// budgetSlot has the counts of a tenth of a second.
type budgetSlot struct {
	number  atomic.Int64 // says which tenth of a second, see Budget.number
	calls   atomic.Int64
	retries atomic.Int64
}

// NewBudget returns a budget of ratio retries for each call, and of at least
// minPerSecond retries a second.
func NewBudget(ratio float64, minPerSecond int) *Budget {
	return &Budget{ratio: ratio, min: minPerSecond, epoch: time.Now()}
}

// Call counts a call.
func (b *Budget) Call(now time.Time) {
	b.slot(b.number(now)).calls.Add(1)
}

// Withdraw counts a retry, and reports whether the budget allows it. A slot that is
// partly in the window counts with its retries and without its calls, so that the
// budget is never exceeded.
func (b *Budget) Withdraw(now time.Time) bool {
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

// number returns the number of the slot of a time. The first slot has the number 1, so
// that a slot which was never used, with the number 0, is never the present one.
func (b *Budget) number(now time.Time) int64 {
	return int64(now.Sub(b.epoch)/budgetSlotTime) + 1
}

// slot returns the slot of this number, emptied if it still has the counts of an older
// one.
func (b *Budget) slot(number int64) *budgetSlot {
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
