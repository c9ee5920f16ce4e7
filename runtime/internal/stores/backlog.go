package stores

import "context"

// Backlog is the number of messages of a consumer that are under way.
type Backlog struct {
	Underway int    // messages that were delivered and not acknowledged
	Max      int    // how many may be
	Pending  uint64 // messages that were not delivered yet
}

// Backlog asks how many messages of a consumer are under way.
func (s *Stores) Backlog(ctx context.Context, stream, consumer string) (Backlog, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	c, err := s.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return Backlog{}, err
	}
	info := c.CachedInfo()
	return Backlog{Underway: info.NumAckPending, Max: info.Config.MaxAckPending, Pending: info.NumPending}, nil
}
