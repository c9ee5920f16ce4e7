package aegis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// abandonTime is how long handlers get to return once their contexts have ended.
const abandonTime = time.Second

// abandon waits for that, and reports whether they have.
func abandon(done ...<-chan struct{}) bool {
	timer := time.NewTimer(abandonTime)
	defer timer.Stop()
	for _, d := range done {
		select {
		case <-d:
			continue
		case <-timer.C:
		}
		return false
	}
	return true
}

// finish waits for what runs, until the grace period ends.
func (s *Server) finish(grace context.Context, done ...<-chan struct{}) error {
	for i, d := range done {
		select {
		case <-d:
		case <-grace.Done():
			return s.expire(done[i:])
		}
	}
	return nil
}

// expire ends the handlers that the grace period was too short for. With a grace
// period of nothing it comes to servers too in which nothing runs, which is no error.
func (s *Server) expire(done []<-chan struct{}) error {
	s.expired.Store(true) // what is still queued is refused
	names := make(map[string]int)
	s.pool.Each(func(c *handling.Context) {
		names[c.Method]++
		c.End()
	})
	for _, st := range s.openStreams() {
		names[st.Name]++
	}
	for _, w := range s.work {
		w.running(names)
	}
	s.cancelBase()
	ended := abandon(done...)
	switch {
	case len(names) > 0:
		s.logger.Error("aegis: the grace period was too short for handlers that still ran; their contexts were ended",
			"grace", s.cfg.grace, "handlers", counted(names))
		return fmt.Errorf("aegis: after the grace period of %v handlers still ran: %s", s.cfg.grace, counted(names))
	case !ended:
		s.logger.Error("aegis: the grace period was too short for what handlers have left to send or to store", "grace", s.cfg.grace)
		return fmt.Errorf("aegis: after the grace period of %v no handler ran any more, but not all of their replies and results were sent or stored", s.cfg.grace)
	}
	return nil
}

// counted writes how many handlers run of each method, in order of their names.
func counted(names map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, names[name]))
	}
	return strings.Join(list, ", ")
}
