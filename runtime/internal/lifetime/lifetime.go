// Package lifetime is the life of something that has goroutines: its end is the end
// of their context, and they are waited for.
package lifetime

import (
	"context"
	"sync"
)

// Lifetime is a context with the goroutines that live as long as it does. It is safe
// for concurrent use.
type Lifetime struct {
	ctx    context.Context //nolint:containedctx // the life itself
	cancel context.CancelFunc

	mu    sync.Mutex // no goroutine starts between End and Wait
	tasks sync.WaitGroup
}

// New begins a life.
func New() *Lifetime {
	l := &Lifetime{}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Context returns the context that ends with the life.
func (l *Lifetime) Context() context.Context { return l.ctx }

// Start runs f in a goroutine that Wait waits for; f must return when the context
// ends. Start reports whether it did: it does nothing after the end.
func (l *Lifetime) Start(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.tasks.Go(f)
	return true
}

// StartWithin is Start for a function that takes the context.
func (l *Lifetime) StartWithin(f func(ctx context.Context)) bool {
	return l.Start(func() { f(l.ctx) })
}

// End ends the context; no goroutine starts any more.
func (l *Lifetime) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

// Wait returns when all goroutines have. It follows End.
func (l *Lifetime) Wait() { l.tasks.Wait() }
