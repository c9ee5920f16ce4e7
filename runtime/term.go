package aegis

import (
	"context"
	"time"
)

// Term is one leadership of a group of a single active service.
type Term struct {
	// Service is the full name of the service, and Group the group in it.
	Service, Group string
	// Token is the fencing token: greater than the tokens of all terms before, and
	// below 2^53. A store that leaders write to should remember the greatest token
	// that it has seen, and refuse writes with a smaller one.
	Token uint64
	// Since is when the term began, by this machine's clock.
	Since time.Time
}

type termKey struct{}

// TermFromContext returns the term in which the handler of a single active
// method runs. It works with the context of OnLeading too, and with all contexts that
// derive from either.
func TermFromContext(ctx context.Context) (Term, bool) {
	t, ok := ctx.Value(termKey{}).(Term)
	return t, ok
}

// LeadershipChange says that a server leads a group, or no longer does.
type LeadershipChange struct {
	Term Term
	// Leading: the term has begun, and calls are served. False: it is over.
	Leading bool
	// Cause is why the term is over; nil if the server has resigned because it stops. It
	// wraps election.ErrHandedOver if the server was asked to let another one lead.
	Cause error
}
