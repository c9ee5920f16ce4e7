package bus

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// expiry ends the requests of a slot at their deadlines, with a timer that is hardly
// ever touched: the timer stays set when a request ends, and when it fires, it is set
// again for the request of that moment. A timer that is set and stopped for each request
// would each time wake an idle thread that has to wait for it. When no more requests
// come, the timer fires once at most.
type expiry struct {
	epoch time.Time
	// deadline is the deadline of the generation that waits, in ns since epoch.
	deadline atomic.Int64
	// armed is when the timer fires, in ns since epoch; 0 if it is not set.
	armed atomic.Int64

	mu    sync.Mutex // held while the timer is set
	timer *time.Timer
}

const never = math.MaxInt64

// expired is the failure of a request whose deadline has come.
var expired = status.New(status.DeadlineExceeded, "the deadline has come")

func (e *expiry) init(expire func()) {
	e.epoch = time.Now()
	e.timer = time.AfterFunc(time.Hour, expire)
	e.timer.Stop()
}

// arm sets the deadline of the generation that waits. If the timer fires at this
// moment, either the timer sees the deadline, or arm sees that the timer is not set.
func (e *expiry) arm(deadline time.Time) {
	at := int64(deadline.Sub(e.epoch))
	e.deadline.Store(at)
	if e.firesBy(at) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.firesBy(at) {
		e.set(at)
	}
}

func (e *expiry) firesBy(at int64) bool {
	armed := e.armed.Load()
	return armed != 0 && armed <= at
}

func (e *expiry) set(at int64) {
	e.armed.Store(at)
	e.timer.Reset(time.Duration(at) - time.Since(e.epoch))
}

// expire is called by the timer. It reads the generation before the deadline, so it
// never takes a deadline for that of a later generation.
func (slot *Slot) expire() {
	e := &slot.expiry
	e.mu.Lock()
	defer e.mu.Unlock()
	e.armed.Store(0)
	for {
		generation, deadline := slot.waiting.Load(), e.deadline.Load()
		switch {
		case generation == 0 || deadline == never:
			return
		case int64(time.Since(e.epoch)) < deadline:
			e.set(deadline)
			return
		case slot.waiting.CompareAndSwap(generation, 0):
			slot.failure = expired
			slot.replies <- nil
			return
		}
	}
}
