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

// cancels notes calls that are canceled before a worker serves them: a cancel can
// overtake its request. A note is kept for a second, and there are no more than 4,096.
type cancels struct {
	count atomic.Int64 // of the notes; it mostly is 0, which needs no mutex

	mu    sync.Mutex           // guards since
	since map[string]time.Time // when a call was canceled, by its reply subject
}

// Cancel ends the context of the handler of the call with this reply subject, or notes
// that the handler is not to run. Cancel notes the call before it looks at the workers,
// and a worker looks at the notes after it has published which call it serves: so at
// least one of them sees the other.
func (p *Pool) Cancel(reply string, now time.Time) {
	p.cancels.add(reply, now)
	p.Each(func(c *Context) {
		if c.Reply == reply {
			p.cancels.take(reply)
			c.End()
		}
	})
}

// Canceled reports whether the call with this reply subject was canceled, and removes
// the note.
func (p *Pool) Canceled(reply string) bool { return p.cancels.take(reply) }

// Noted returns how many cancels wait for their requests.
func (p *Pool) Noted() int { return int(p.cancels.count.Load()) }

// Tidy removes the notes that are older than a second.
func (p *Pool) Tidy(now time.Time) { p.cancels.tidy(now) }

// add notes a call, unless there are too many notes.
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

// expire removes the notes that are older than a second. c.mu is held.
func (c *cancels) expire(now time.Time) {
	for reply, since := range c.since {
		if now.Sub(since) > cancelKept {
			delete(c.since, reply)
		}
	}
	c.count.Store(int64(len(c.since)))
}

func (c *cancels) tidy(now time.Time) {
	if c.count.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(now)
}

// take reports whether a call was canceled, and removes the note.
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
