package caller

import (
	"context"
	"errors"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// toLeader reports whether the call goes to the leader of a group.
func (c *Call) toLeader() bool { return c.leader != nil && c.choice.Instance == "" }

// findLeader makes the subject that of the leader's term. It waits until that is known.
func (c *Call) findLeader() *status.Status {
	service := c.client.o.Service.Name
	c.readNews()
	if c.term == 0 {
		c.waited = true
		begun := time.Now()
		defer c.Figures.WaitSince(begun)
		c.leader.Doubt() // NATS may have refused to let this user ask, and allow it by now
		if why := c.leader.Await(c.ctx, 0, c.Deadline); why != nil {
			return why.WithNotRun(true)
		}
		if c.readNews(); c.term == 0 {
			c.leader.Missed(begun)
			if err := c.ctx.Err(); errors.Is(err, context.Canceled) {
				return status.Of(err).WithNotRun(true)
			}
			return status.Refusal(status.Unavailable, wire.ReasonNotActive,
				"nobody is known to lead %s, group %s", service, c.leader.Group).WithNotRun(true)
		}
	}
	led := c.led.Load()
	if led == nil || led.term != c.term {
		led = &termSubject{c.term, c.client.o.Subjects.Lead(service, c.spec.Name, c.leader.Group, c.term)}
		c.led.Store(led)
	}
	c.subject = &led.subject
	return nil
}

// readNews reads which leader is known. It reads the news before the term, so that a term
// that comes in between wakes this attempt.
func (c *Call) readNews() {
	if news := c.leader.News(); news != c.news {
		c.news, c.fresh = news, c.number
	}
	c.term = c.leader.Term()
}
