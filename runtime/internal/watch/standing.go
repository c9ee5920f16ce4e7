package watch

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
)

// Standing has what holds now, under keys, as the change that began it, and tells its
// readers of each change. The zero value is ready for use, by several goroutines at once.
type Standing[K comparable, C any] struct {
	mu      sync.Mutex // guards now, and keeps it in step with changes
	now     map[K]C
	changes Changes[C]
}

// Tell takes note of a change and passes it on: what is under key holds from now on, or holds
// no longer.
func (s *Standing[K, C]) Tell(key K, change C, holds bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !holds:
		delete(s.now, key)
	case s.now == nil:
		s.now = map[K]C{key: change}
	default:
		s.now[key] = change
	}
	s.changes.Tell(change)
}

// Close lets the readers read the changes so far, and no more.
func (s *Standing[K, C]) Close() { s.changes.Close() }

// Now returns the changes that began what holds now.
func (s *Standing[K, C]) Now() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.now))
}

// Watch returns the changes that began what holds now, and all that follow, until ctx ends
// or the changes are closed.
func (s *Standing[K, C]) Watch(ctx context.Context) iter.Seq[C] {
	return func(yield func(C) bool) {
		s.mu.Lock()
		r := s.changes.Read(slices.Collect(maps.Values(s.now)))
		s.mu.Unlock()
		defer r.Close()
		for {
			change, ok := r.Next(ctx)
			if !ok || !yield(change) {
				return
			}
		}
	}
}
