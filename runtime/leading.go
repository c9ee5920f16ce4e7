package aegis

import (
	"context"
	"iter"
	"sync"
)

// Leading returns the terms that this server leads now, those whose OnLeading
// has returned.
func (s *Server) Leading() iter.Seq[Term] {
	return func(yield func(Term) bool) {
		s.changes.mu.Lock()
		terms := make([]Term, 0, len(s.changes.leading))
		for _, t := range s.changes.leading {
			terms = append(terms, t)
		}
		s.changes.mu.Unlock()
		for _, t := range terms {
			if !yield(t) {
				return
			}
		}
	}
}

// WatchLeading returns the changes of what this server leads, beginning with
// what it leads now, until ctx ends or the server has stopped. It misses no
// change, however slowly it is read.
func (s *Server) WatchLeading(ctx context.Context) iter.Seq[LeadershipChange] {
	return func(yield func(LeadershipChange) bool) {
		w := s.changes.watch()
		defer s.changes.forget(w)
		stop := context.AfterFunc(ctx, w.wake)
		defer stop()
		for {
			change, ok := w.next(ctx)
			if !ok || !yield(change) {
				return
			}
		}
	}
}

// leadershipChanges tells those who watch.
type leadershipChanges struct {
	mu       sync.Mutex
	leading  map[string]Term // by service and group
	watchers map[*leadershipWatcher]struct{}
	closed   bool
}

// leadershipWatcher has the changes that one reader has not read yet: two a
// term, so that even a reader that never reads holds little.
type leadershipWatcher struct {
	cond    *sync.Cond
	pending []LeadershipChange
	closed  bool
}

func (c *leadershipChanges) publish(change LeadershipChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leading == nil {
		c.leading = make(map[string]Term)
	}
	id := change.Term.Service + "." + change.Term.Group
	if change.Leading {
		c.leading[id] = change.Term
	} else {
		delete(c.leading, id)
	}
	for w := range c.watchers {
		w.add(change)
	}
}

func (c *leadershipChanges) watch() *leadershipWatcher {
	w := &leadershipWatcher{cond: sync.NewCond(&sync.Mutex{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.leading {
		w.pending = append(w.pending, LeadershipChange{Term: t, Leading: true})
	}
	w.closed = c.closed
	if c.watchers == nil {
		c.watchers = make(map[*leadershipWatcher]struct{})
	}
	c.watchers[w] = struct{}{}
	return w
}

func (c *leadershipChanges) forget(w *leadershipWatcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, w)
}

// close ends all watchers once they have read what there is.
func (c *leadershipChanges) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for w := range c.watchers {
		w.cond.L.Lock()
		w.closed = true
		w.cond.L.Unlock()
		w.wake()
	}
}

func (w *leadershipWatcher) add(change LeadershipChange) {
	w.cond.L.Lock()
	w.pending = append(w.pending, change)
	w.cond.L.Unlock()
	w.wake()
}

func (w *leadershipWatcher) wake() {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	w.cond.Broadcast()
}

func (w *leadershipWatcher) next(ctx context.Context) (LeadershipChange, bool) {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	for len(w.pending) == 0 {
		if w.closed || ctx.Err() != nil {
			return LeadershipChange{}, false
		}
		w.cond.Wait()
	}
	change := w.pending[0]
	w.pending = w.pending[1:]
	return change, true
}
