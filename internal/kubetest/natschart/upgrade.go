package natschart

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Replacement is when a server was replaced.
type Replacement struct {
	Server              string
	Began, Ended, Ready time.Time
	Killed              bool // it has not ended in time
}

// String says how long each part took.
func (r Replacement) String() string {
	return fmt.Sprintf("%s: lame duck at %s for %.1f s, ready %.1f s after that; killed: %v",
		r.Server, r.Began.Format("05.000"), r.Ended.Sub(r.Began).Seconds(), r.Ready.Sub(r.Ended).Seconds(), r.Killed)
}

// Healthy reports whether all servers have all that they keep, as each has to before it is started.
func (c *Cluster) Healthy() bool {
	client := newProber()
	return !slices.ContainsFunc(c.Servers, func(s *Server) bool { return !healthy(client, s.monitor+startupPath) })
}

// Upgrade replaces the servers as a rolling update of the StatefulSet does: the highest ordinal first,
// and the next one when its successor, which has its name and its data, is ready.
func (c *Cluster) Upgrade(ctx context.Context) ([]Replacement, error) {
	var all []Replacement
	for _, s := range slices.Backward(c.Servers) {
		r, err := s.Replace(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Replace has the server end as its pod does that is deleted, and returns when the next one is ready.
func (s *Server) Replace(ctx context.Context) (r Replacement, err error) {
	r = Replacement{Server: s.Name, Began: time.Now()}
	if r.Killed, err = s.delete(ctx); err != nil {
		return r, err
	}
	r.Ended = time.Now()
	if err := s.Restart(); err != nil {
		return r, err
	}
	err = s.AwaitReady(ctx)
	r.Ready = time.Now()
	return r, err
}
