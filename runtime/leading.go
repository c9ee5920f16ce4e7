package aegis

import (
	"iter"

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
	watch.Standing[groupKey, LeadershipChange]
}

type groupKey struct{ service, group string }

// tell takes note of a change and passes it on.
func (c *leadershipChanges) tell(change LeadershipChange) {
	c.Tell(groupKey{change.Term.Service, change.Term.Group}, change, change.Leading)
}

// terms returns the terms of now.
func (c *leadershipChanges) terms() iter.Seq[Term] {
	return func(yield func(Term) bool) {
		for _, change := range c.Now() {
			if !yield(change.Term) {
				return
			}
		}
	}
}
