package live

import (
	"context"
	"sync"
	"time"
)

// Watcher watches a view. It is for one goroutine.
type Watcher struct {
	hub   *Hub
	key   View
	view  *view
	shown *Frame // the last one that Next has returned
	leave sync.Once
}

// Watch begins to watch a view until the watcher is closed.
func (h *Hub) Watch(key View) (*Watcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ctx.Err() != nil:
		return nil, ErrClosed
	case h.watchers >= MaxWatchers:
		return nil, ErrTooMany
	}
	v := h.views[key]
	if v == nil {
		v = &view{next: make(chan struct{}), leave: h.config.Look(key)}
		h.views[key] = v
	}
	v.watchers++
	h.watchers++
	return &Watcher{hub: h, key: key, view: v}, nil
}

// Next returns the present frame at first, and then the latest one when there is another
// than it has returned last. It returns nil when nothing has changed for the time to wait, and
// the error of the context when that has ended, or ErrClosed with the hub.
func (w *Watcher) Next(ctx context.Context, wait time.Duration) (*Frame, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		f, next, err := w.latest()
		if err != nil {
			return nil, err
		}
		if f != w.shown {
			w.shown = f
			return f, nil
		}
		select {
		case <-next:
		case <-timer.C:
			return nil, nil //nolint:nilnil // there is no other frame
		case <-w.hub.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// latest returns the latest frame, and a channel that is closed when there is another one.
// The first one who watches a view makes its first frame.
func (w *Watcher) latest() (*Frame, <-chan struct{}, error) {
	h, v := w.hub, w.view
	h.mu.Lock()
	f, next := v.frame, v.next
	h.mu.Unlock()
	if f != nil {
		return f, next, nil
	}
	f, err := h.Get(w.key)
	if err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.frame == nil {
		v.show(f)
	}
	return v.frame, v.next, nil
}

// Close ends watching.
func (w *Watcher) Close() {
	w.leave.Do(func() {
		h := w.hub
		h.mu.Lock()
		defer h.mu.Unlock()
		h.watchers--
		if w.view.watchers--; w.view.watchers == 0 {
			delete(h.views, w.key)
			w.view.leave()
		}
	})
}
