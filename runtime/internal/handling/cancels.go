package handling

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	cancelKept    = time.Second
	maxCancelKept = 4096
)

// cancels are the calls whose callers wait no longer and that no worker serves
// yet: a cancel can overtake its request. They are kept for a second, and no
// more than 4,096 of them.
type cancels struct {
	count atomic.Int64

	mu    sync.Mutex
	since map[string]time.Time
}

// Cancel ends the handler of the call with this reply subject, or notes that the call
// is not to run. It is noted before the workers are looked at, and a worker looks at
// the notes after it has said which call it serves, so one of the two sees the other.
func (p *Pool) Cancel(reply string, now time.Time) {
	p.cancels.add(reply, now)
	p.Each(func(c *Context) {
		if c.Reply == reply {
			p.cancels.take(reply)
			c.End()
		}
	})
}

// Canceled reports whether the call with this reply subject was canceled, and forgets
// it.
func (p *Pool) Canceled(reply string) bool { return p.cancels.take(reply) }

// Noted is how many cancels wait for their requests.
func (p *Pool) Noted() int { return int(p.cancels.count.Load()) }

// Tidy forgets the cancels that are older than a second.
func (p *Pool) Tidy(now time.Time) { p.cancels.tidy(now) }

func (c *cancels) add(reply string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since == nil {
		c.since = make(map[string]time.Time)
	}
	if len(c.since) >= maxCancelKept {
		c.expire(now)
	}
	if len(c.since) < maxCancelKept {
		c.since[reply] = now
	}
	c.count.Store(int64(len(c.since)))
}

func (c *cancels) expire(now time.Time) {
	for reply, since := range c.since {
		if now.Sub(since) > cancelKept {
			delete(c.since, reply)
		}
	}
	c.count.Store(int64(len(c.since)))
}

// tidy forgets what is older than a second.
func (c *cancels) tidy(now time.Time) {
	if c.count.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
}

// take reports whether a call was canceled, and forgets it.
func (c *cancels) take(reply string) bool {
	if c.count.Load() == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.since[reply]
	delete(c.since, reply)
	c.count.Store(int64(len(c.since)))
	return ok
}
