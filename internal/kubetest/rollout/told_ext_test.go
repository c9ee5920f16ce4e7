package rollout_test

import (
	"fmt"
	"sync"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

// told is what subscribers who share the events, or one that has all of them, were told.
type told struct {
	mu         sync.Mutex
	times      map[uint64]int    // by the sequence of the order
	last       map[string]uint64 // the highest sequence of a symbol
	disordered []string
	at         time.Time // when the last event came
	longest    time.Duration
	until      time.Time // when the longest time between two ended
}

func newTold() *told { return &told{times: map[uint64]int{}, last: map[string]uint64{}} }

// add takes an event, whose handler has begun.
func (o *told) add(order *orderv1.Order) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if took := now.Sub(o.at); !o.at.IsZero() && took > o.longest {
		o.longest, o.until = took, now
	}
	o.at = now
	sequence, symbol := order.GetSequence(), order.GetSymbol()
	if o.times[sequence] == 0 && sequence < o.last[symbol] { // one that came before may come again
		o.disordered = append(o.disordered, fmt.Sprintf("order %d of %s came after order %d", sequence, symbol, o.last[symbol]))
	}
	o.last[symbol] = max(o.last[symbol], sequence)
	o.times[sequence]++
}

func (o *told) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.times)
}

// resetGap has the longest time between two events count from now on.
func (o *told) resetGap() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.longest = 0
}

// again is how many events came more than once.
func (o *told) again() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, times := range o.times {
		n += times - 1
	}
	return n
}
