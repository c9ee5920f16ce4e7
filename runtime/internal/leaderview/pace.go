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

// pace says when a connection may ask again who leads. While a group has no leader, all
// connections with clients of it ask, so the pause grows, and varies by half to either
// side. A client misses nothing by a long pause: a new leader announces itself.
type pace struct {
	asked time.Time     // when the last question was asked
	mean  time.Duration // of the pause since then, before it was varied
	pause time.Duration // since then
}

// wait returns how long the next question has to wait; it is due if that is not positive.
func (p *pace) wait(now time.Time) time.Duration { return p.asked.Add(p.pause).Sub(now) }

// ask notes that a question is asked now.
func (p *pace) ask(now time.Time) {
	if now.Sub(p.asked) > 2*longestAskPause {
		p.mean = 0 // the last question had another occasion
	}
	p.asked = now
	p.mean = min(max(2*p.mean, firstAskPause), longestAskPause)
	p.pause = p.mean/2 + rand.N(p.mean)
}
