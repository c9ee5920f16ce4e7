package stores

import "context"

// Backlog is how much of a consumer is under way.
type Backlog struct {
	Underway int    // delivered, and not acknowledged
	Max      int    // the most that may be
	Pending  uint64 // not delivered yet
}

// Backlog asks how much of a consumer is under way.
func (s *Stores) Backlog(ctx context.Context, stream, consumer string) (Backlog, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err := s.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return Backlog{}, err
	}
	info := c.CachedInfo()
	return Backlog{Underway: info.NumAckPending, Max: info.Config.MaxAckPending, Pending: info.NumPending}, nil
}
