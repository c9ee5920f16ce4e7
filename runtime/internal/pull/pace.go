package pull

import (
	"sync"
	"time"
)

const (
	paceInterval = 50 * time.Millisecond
	maxAhead     = 1024
)

// Pace says how many messages to hold ahead: what is done within about a tenth
// of a second. With quick handlers nobody waits for the next message; with slow
// ones messages wait where others can take them.
type Pace struct {
	mu    sync.Mutex
	begin time.Time
	count int // in the current interval
	last  int // in the one before
}

// Done counts a message, and returns how many to hold ahead.
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
