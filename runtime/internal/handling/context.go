package handling

import (
	"context"
	"sync"
	"time"
)

// Context is the context of one handler, with the facts of its call. Its timer and
// its Done channel are made only when the handler asks for them, as most handlers never
// do. Its exported fields are set when it is made, and do not change after that.
type Context struct {
	// Base is the context that this one derives from.
	Base context.Context //nolint:containedctx // it is a context
	// Method is the full name of the method.
	Method  string
	Arrived time.Time
	// Due is the deadline.
	Due time.Time
	// Reply is the reply subject.
	Reply string

	mu    sync.Mutex // guards the fields below
	ended bool
	inner context.Context //nolint:containedctx // it has the timer and the channel; nil until the handler asks for one
	stop  context.CancelFunc
}

// Deadline returns the deadline: every call has one.
func (c *Context) Deadline() (time.Time, bool) { return c.Due, true }

// Done returns a channel that is closed when the context ends.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open()
	return c.inner.Done()
}

// open makes the inner context. c.mu is held.
func (c *Context) open() {
	if c.inner == nil {
		c.inner, c.stop = context.WithDeadline(c.Base, c.Due)
		if c.ended {
			c.stop()
		}
	}
}

// Err returns why the context has ended; nil if it has not.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil && !c.ended && c.Base.Err() == nil && time.Now().Before(c.Due) {
		return nil
	}
	c.open() // the inner context keeps the error: Err must not change its answer
	return c.inner.Err()
}

// Value asks the inner context last: package context finds its own there, and
// then needs no goroutine for contexts that derive from this one.
func (c *Context) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.Base.Value(key)
}

// End ends the context, because the caller has gone or the handler has returned.
func (c *Context) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.stop != nil {
		c.stop()
	}
}
