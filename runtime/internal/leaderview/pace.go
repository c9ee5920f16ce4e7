package leaderview

import (
	"math/rand/v2"
	"time"
)

const (
	// firstAskPause is the mean pause after the first question who leads; each
	// further one doubles it, up to longestAskPause.
	firstAskPause   = 100 * time.Millisecond
	longestAskPause = 5 * time.Second
)

// pace says when a client may ask again who leads. While nobody does, all
// clients ask, so the pause grows, and varies by half to either side. A client
// misses nothing by it: a leader that comes tells all of them.
type pace struct {
	asked time.Time
	mean  time.Duration // of the pause since then, before it was varied
	pause time.Duration
}

// wait returns how long it is until the next question; none if it is not positive.
func (p *pace) wait(now time.Time) time.Duration { return p.asked.Add(p.pause).Sub(now) }

// ask notes that a question is asked now.
func (p *pace) ask(now time.Time) {
	if now.Sub(p.asked) > 2*longestAskPause {
		p.mean = 0 // that was another occasion
	}
	p.asked = now
	p.mean = min(max(2*p.mean, firstAskPause), longestAskPause)
	p.pause = p.mean/2 + rand.N(p.mean)
}
