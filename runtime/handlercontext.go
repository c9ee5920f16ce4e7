package aegis

import (
	"context"
	"sync"
	"time"
)

// handlerContext is the context of one handler, and the state of its call. Its
// timer and its Done channel come into being only when somebody asks for them,
// as most handlers never look.
type handlerContext struct {
	call     Call
	base     context.Context //nolint:containedctx // it is a context
	arrived  time.Time
	deadline time.Time
	reply    string // the reply subject

	mu    sync.Mutex
	ended bool
	inner context.Context //nolint:containedctx // what Done was asked of
	stop  context.CancelFunc
}

func (c *handlerContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *handlerContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open()
	return c.inner.Done()
}

// open makes the inner context; c.mu is held.
func (c *handlerContext) open() {
	if c.inner == nil {
		c.inner, c.stop = context.WithDeadline(c.base, c.deadline)
		if c.ended {
			c.stop()
		}
	}
}

func (c *handlerContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil && !c.ended && c.base.Err() == nil && time.Now().Before(c.deadline) {
		return nil
	}
	c.open() // which keeps the error, as a context has to
	return c.inner.Err()
}

// Value asks the inner context last: package context finds its own there, and
// then needs no goroutine for contexts that derive from this one.
func (c *handlerContext) Value(key any) any {
	if _, ok := key.(currentKey); ok {
		return &c.call
	}
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.base.Value(key)
}

// end ends the context: the caller has gone, or the handler has returned.
func (c *handlerContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.stop != nil {
		c.stop()
	}
}
