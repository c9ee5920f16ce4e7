package aegis

import (
	"fmt"
	"time"
)

// abandonTime is how long handlers get to return once their contexts have ended.
const abandonTime = time.Second

// abandon waits for that.
func abandon(done ...<-chan struct{}) {
	timer := time.NewTimer(abandonTime)
	defer timer.Stop()
	for _, d := range done {
		select {
		case <-d:
			continue
		case <-timer.C:
		}
		return
	}
}

// expire ends the handlers that the grace period was too short for.
func (s *Server) expire(done []<-chan struct{}) error {
	s.expired.Store(true) // what is still queued is refused
	names := make(map[string]int)
	s.pool.each(func(c *handlerContext) {
		names[c.call.spec.name()]++
		c.end()
	})
	for _, st := range s.openStreams() {
		names[st.name]++
	}
	for _, w := range s.work {
		w.running(names)
	}
	s.cancelBase()
	abandon(done...)
	s.logger.Error("aegis: the grace period was too short for handlers that still ran; their contexts were ended",
		"grace", s.cfg.grace, "handlers", fmt.Sprint(names))
	return fmt.Errorf("aegis: after the grace period of %v handlers still ran: %v", s.cfg.grace, names)
}
