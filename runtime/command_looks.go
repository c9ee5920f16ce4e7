package aegis

import (
	"context"
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// lookInterval is how often one who waits looks whether the connection was made
	// anew.
	lookInterval = 250 * time.Millisecond
	// firstLook is after how long a waiter reads what is stored in any case, should
	// it have missed something; then after twice as long, up to longestLook.
	firstLook   = 5 * time.Second
	longestLook = time.Minute
)

// commandLooks are the reads of one who waits for the end of a command. What is
// told comes by itself, so a read is for what was not heard: it tells a command
// that is gone, and one that nobody works, from one that takes long.
type commandLooks struct {
	handle *commandHandle
	next   time.Time
	pause  time.Duration
	known  bool // the command was there
	gone   bool // it was not, at the last look
	last   *CommandStatus
	failed *Error // why the last look has shown nothing
}

func newCommandLooks(ctx context.Context, h *commandHandle) *commandLooks {
	l := &commandLooks{handle: h, pause: firstLook, known: h.live}
	now := time.Now()
	l.next = now
	if h.live {
		l.next = now.Add(firstLook)
		if deadline, ok := ctx.Deadline(); ok { // so that the deadline's error can say where the command is
			l.next = now.Add(min(firstLook, deadline.Sub(now)/2))
		}
	}
	return l
}

// round looks if it is time to. An error ends the wait.
func (l *commandLooks) round(ctx context.Context) *Error {
	now := time.Now()
	switch {
	case !now.Before(l.next):
		return l.look(ctx, now)
	case l.handle.missed():
		l.handle.read(ctx)
	}
	return nil
}

var errNotConnected = NewError(CodeUnavailable, "not connected to NATS")

func (l *commandLooks) look(ctx context.Context, now time.Time) *Error {
	h := l.handle
	if !h.client.conn.bus.Link.Up() { // nor can nats.go be asked: it may hold its lock, as it dials
		l.failed, l.next = errNotConnected, now.Add(2*lookInterval)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	returns := h.client.conn.bus.Link.Returns()
	view, err := h.view(limited)
	switch {
	case err != nil:
		l.failed, l.next = err, now.Add(2*lookInterval)
		passes := err.Code() == CodeUnavailable || err.Code() == CodeDeadlineExceeded || ctx.Err() != nil
		if passes || l.known { // who has sent a command may lack the right to read
			return nil
		}
		return err
	case view.State == CommandUnknown && (l.gone || !l.known):
		return h.notFound()
	case view.State == CommandUnknown: // once more: a leader that was deposed may not know it yet
		l.gone, l.next = true, now.Add(2*lookInterval)
	default:
		h.returns.Store(returns)
		l.known, l.gone, l.next = true, false, now.Add(l.pause)
		l.pause = min(2*l.pause, longestLook)
	}
	l.failed, l.last = nil, &view.CommandStatus
	return nil
}

// unended is the error of one whose ctx ends before the command.
func (l *commandLooks) unended(ctx context.Context) *Error {
	err := asError(ctx.Err())
	if err.Code() != CodeDeadlineExceeded {
		return err
	}
	where := "it has not ended as far as is known"
	switch {
	case l.failed != nil:
		where = "what is stored of it cannot be read: " + l.failed.Message()
	case l.last == nil:
	case l.last.State == CommandRunning:
		where = fmt.Sprintf("it is RUNNING, attempt %d", l.last.Attempt)
	case l.last.State == CommandQueued:
		where = "it is QUEUED, no worker has begun it"
	case l.last.State == CommandScheduled:
		where = "it is SCHEDULED, not due yet"
	}
	return because(ctx.Err(), CodeDeadlineExceeded, fmt.Sprintf("no result of command %s of %s.%s before the deadline; %s",
		l.handle.id, l.handle.client.service.Name, l.handle.method.Name, where))
}
