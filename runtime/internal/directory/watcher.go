package directory

import (
	"context"

	"github.com/aegisrpc/aegis/runtime/registry"
)

// Watcher reads the changes of a view. The first ones say which instances there are. Next
// is for one goroutine.
type Watcher struct {
	view *View
	feed *registry.Feed
	news chan struct{} // of one: the feed has a change; filled by wake, never closed
}

// Watch makes a watcher. The caller closes it.
func (v *View) Watch() *Watcher {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := &Watcher{view: v, feed: v.state.NewFeed(), news: make(chan struct{}, 1)}
	v.watchers[w] = struct{}{}
	return w
}

// Close takes the watcher off the view.
func (w *Watcher) Close() {
	w.view.mu.Lock()
	defer w.view.mu.Unlock()
	delete(w.view.watchers, w)
}

// wake makes Next look at the feed.
func (w *Watcher) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// Next returns the next change, once there is one; false when ctx has ended or the view is
// closed.
func (w *Watcher) Next(ctx context.Context) (registry.Change, bool) {
	for {
		if ctx.Err() != nil {
			return registry.Change{}, false
		}
		w.view.mu.Lock()
		c, ok := w.feed.Next()
		w.view.mu.Unlock()
		if ok {
			return c, true
		}
		select {
		case <-w.news:
		case <-ctx.Done():
		case <-w.view.ctx.Done():
			return registry.Change{}, false
		}
	}
}
