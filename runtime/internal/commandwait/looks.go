package commandwait

import (
	"context"
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// tickInterval is how often a waiter checks whether it is time for a look, and
	// whether the connection has been away.
	tickInterval = 250 * time.Millisecond
	// lookAgainAfter is when the next look comes after one that has shown nothing.
	lookAgainAfter = 2 * tickInterval
	// firstLook is after how long a waiter reads what is stored of its command, should
	// it have missed a message; the pause then doubles up to longestLook.
	firstLook   = 5 * time.Second
	longestLook = time.Minute
)

// looks decides when a waiter reads what is stored of its command, and what that means. A
// look finds messages that the waiter has missed, and tells a command that is gone, or
// that no worker has begun, from one that takes long. It belongs to one goroutine.
type looks struct {
	command *Command
	next    time.Time
	pause   time.Duration  // between the next look and the one after it
	known   bool           // the command was there
	gone    bool           // it was not, at the last look
	last    *View          // what the last look has shown; nil for nothing
	failed  *status.Status // why the last look has shown nothing; nil if it has
}

func newLooks(ctx context.Context, c *Command) *looks {
	l := &looks{command: c, pause: firstLook, known: c.live}
	now := time.Now()
	l.next = now
	if c.live {
		l.next = now.Add(firstLook)
		if deadline, ok := ctx.Deadline(); ok { // so that the deadline's error can say where the command is
			l.next = now.Add(min(firstLook, deadline.Sub(now)/2))
		}
	}
	return l
}

// round looks if it is time to, or if the connection has been away. A status ends the
// wait.
func (l *looks) round(ctx context.Context) *status.Status {
	now := time.Now()
	switch {
	case !now.Before(l.next):
		return l.look(ctx, now)
	case l.command.missed():
		l.command.read(ctx)
	}
	return nil
}

var notConnected = status.New(status.Unavailable, bus.NotConnected)

// look reads what is stored of the command.
func (l *looks) look(ctx context.Context, now time.Time) *status.Status {
	c, link := l.command, l.command.listener.Results.Bus.Link
	if !link.Up() { // nor can nats.go be asked: it may hold its lock, as it dials
		l.failed, l.next = notConnected, now.Add(lookAgainAfter)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	returns := link.Returns()
	view, why := c.View(limited)
	switch {
	case why != nil:
		l.failed, l.next = why, now.Add(lookAgainAfter)
		passes := why.Code == status.Unavailable || why.Code == status.DeadlineExceeded || ctx.Err() != nil
		if passes || l.known { // the sender of a command may lack the right to read
			return nil
		}
		return why
	case view.State == Unknown && (l.gone || !l.known):
		return c.NotFound()
	case view.State == Unknown: // once more: a leader that was deposed may not know it yet
		l.gone, l.next = true, now.Add(lookAgainAfter)
	default:
		c.returns.Store(returns)
		l.known, l.gone, l.next = true, false, now.Add(l.pause)
		l.pause = min(2*l.pause, longestLook)
	}
	l.failed, l.last = nil, view
	return nil
}

// unended returns the status of a waiter whose ctx ends before the command. It says where
// the command was at the last look.
func (l *looks) unended(ctx context.Context) *status.Status {
	why := status.Of(ctx.Err())
	if why.Code != status.DeadlineExceeded {
		return why
	}
	where := "it has not ended as far as is known"
	switch {
	case l.failed != nil:
		where = "what is stored of it cannot be read: " + l.failed.Message
	case l.last == nil:
	case l.last.State == Running:
		where = fmt.Sprintf("it is RUNNING, attempt %d", l.last.Attempt)
	case l.last.State == Queued:
		where = "it is QUEUED, no worker has begun it"
	case l.last.State == Scheduled:
		where = "it is SCHEDULED, not due yet"
	}
	return status.Because(ctx.Err(), status.DeadlineExceeded, fmt.Sprintf("no result of command %s of %s.%s before the deadline; %s",
		l.command.id, l.command.listener.Results.Service, l.command.method, where))
}
