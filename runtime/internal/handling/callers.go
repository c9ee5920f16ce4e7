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
// than a second are still there. It is called once a second, and does not wait. It asks
// each caller once, however many calls of that caller run. gone sends a request to the
// subject of a caller, and reports whether NATS says that nobody listens there. The
// connection of that caller is gone then, and AskCallers ends the contexts of its calls.
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

// oldCalls returns the calls that have run for more than a second, by the subject on
// which their caller answers; nil if there are none.
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

// WaitForCallers waits for the answers of the callers that are being asked. AskCallers
// must not be called again.
func (p *Pool) WaitForCallers() { p.asking.Wait() }
