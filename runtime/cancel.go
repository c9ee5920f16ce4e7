package aegis

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	cancelKept    = time.Second
	maxCancelKept = 4096
	maxReplyBytes = 512 // of a reply subject; those of clients take some 40
)

// cancels are the calls whose callers wait no longer and which no worker serves
// yet: a cancel can overtake its request. They are kept for a second, and no
// more than 4,096 of them.
type cancels struct {
	count atomic.Int64

	mu    sync.Mutex
	since map[string]time.Time
}

// canceled is the callback of the cancel subjects; the payload is the reply
// subject of the call. It is noted before the workers are looked at, and a
// worker looks at the notes after it has said what it serves, so one of the two
// sees the other.
func (s *Server) canceled(msg *nats.Msg) {
	if len(msg.Data) == 0 || len(msg.Data) > maxReplyBytes {
		return // no reply subject
	}
	reply := string(msg.Data)
	if s.cancelStream(reply) {
		return
	}
	s.cancels.add(reply, time.Now())
	s.pool.each(func(c *handlerContext) {
		if c.reply == reply {
			s.cancels.take(reply)
			c.end()
		}
	})
}

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
