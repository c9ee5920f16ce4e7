package aegis

import (
	"context"
	"iter"
	"sync"

	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/watch"
)

// A server's part in the election of a group, and one term of it.
type (
	leadership = leader.Leadership
	term       = leader.Term
)

// leadershipChanges are the terms that a server leads now, and the readers of their
// changes. The zero value is ready for use.
type leadershipChanges struct {
	mu      sync.Mutex // guards leading, and keeps it in step with changes
	leading map[groupKey]Term
	changes watch.Changes[LeadershipChange]
}

type groupKey struct{ service, group string }

// tell takes note of a change and passes it on.
func (c *leadershipChanges) tell(change LeadershipChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := groupKey{change.Term.Service, change.Term.Group}
	switch {
	case !change.Leading:
		delete(c.leading, key)
	case c.leading == nil:
		c.leading = map[groupKey]Term{key: change.Term}
	default:
		c.leading[key] = change.Term
	}
	c.changes.Tell(change)
}

// close lets the readers read the changes so far, and no more.
func (c *leadershipChanges) close() { c.changes.Close() }

// terms returns the terms of now, as changes that began them.
func (c *leadershipChanges) terms() []LeadershipChange {
	list := make([]LeadershipChange, 0, len(c.leading))
	for _, t := range c.leading {
		list = append(list, LeadershipChange{Term: t, Leading: true})
	}
	return list
}

// all yields the terms of now.
func (c *leadershipChanges) all(yield func(Term) bool) {
	c.mu.Lock()
	terms := c.terms()
	c.mu.Unlock()
	for _, t := range terms {
		if !yield(t.Term) {
			return
		}
	}
}

// watch returns the terms of now and all changes that follow, until ctx ends or the
// server has stopped.
func (c *leadershipChanges) watch(ctx context.Context) iter.Seq[LeadershipChange] {
	return func(yield func(LeadershipChange) bool) {
		c.mu.Lock()
		r := c.changes.Read(c.terms())
		c.mu.Unlock()
		defer r.Close()
		for {
			change, ok := r.Next(ctx)
			if !ok || !yield(change) {
				return
			}
		}
	}
}
