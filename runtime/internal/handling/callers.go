package handling

import (
	"context"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	askAfter   = time.Second
	askTimeout = time.Second
)

// AskCallers finds out whether the callers of handlers that have run for more
// than a second are still there. It is to be called once a second, does not wait, and
// asks each caller once, however many calls of its run. Gone sends a request to the
// subject of a caller and reports whether NATS says that nobody listens there: the
// caller's connection is gone then, and the contexts of its calls end.
func (p *Pool) AskCallers(ctx context.Context, now time.Time, gone func(ctx context.Context, subject string, deadline time.Time) bool) {
	callers := p.oldCalls(now)
	if callers == nil || !p.probing.CompareAndSwap(false, true) {
		return
	}
	p.asking.Go(func() {
		defer p.probing.Store(false)
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		deadline, _ := ctx.Deadline()
		var asking sync.WaitGroup
		for subject, calls := range callers {
			asking.Go(func() {
				if gone(ctx, subject, deadline) {
					endAll(calls)
				}
			})
		}
		asking.Wait()
	})
}

// oldCalls are the calls that have run for more than a second, by the subject that their
// caller answers on; nil without any.
func (p *Pool) oldCalls(now time.Time) map[string][]*Context {
	var callers map[string][]*Context
	p.Each(func(c *Context) {
		if now.Sub(c.Arrived) < askAfter {
			return
		}
		if subject := wire.CallerAlive(c.Reply); subject != "" {
			if callers == nil {
				callers = make(map[string][]*Context)
			}
			callers[subject] = append(callers[subject], c)
		}
	})
	return callers
}

func endAll(calls []*Context) {
	for _, c := range calls {
		c.End()
	}
}

// WaitForCallers returns when no caller is being asked any more. AskCallers must not be
// called again.
func (p *Pool) WaitForCallers() { p.asking.Wait() }
