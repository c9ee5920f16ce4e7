package pull

import (
	"sync"
	"time"
)

const (
	paceInterval = 50 * time.Millisecond
	maxAhead     = 1024
)

// Pace says how many messages to hold ahead of the handlers: as many as are handled
// within about a tenth of a second. A quick handler then never waits for the next
// message; the messages of slow handlers wait in the stream, where other instances can
// take them. It is safe for concurrent use.
type Pace struct {
	mu    sync.Mutex // guards what follows
	begin time.Time  // of the current interval
	count int        // messages handled in the current interval
	last  int        // messages handled in the interval before
}

// Done counts a message that was handled, and returns how many to hold ahead.
func (p *Pace) Done(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch passed := now.Sub(p.begin); {
	case passed >= 2*paceInterval:
		p.begin, p.last, p.count = now, 0, 0
	case passed >= paceInterval:
		p.begin, p.last, p.count = now, p.count, 0
	}
	p.count++
	return min(2*max(p.count, p.last)-2, maxAhead)
}
