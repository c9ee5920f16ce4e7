package bus

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Permission finds out whether NATS lets this user publish to a subject from which
// nobody answers: it waits for NATS with the first message, not with each. It is safe
// for concurrent use.
type Permission struct {
	bus     *Bus
	subject string
	flush   func(context.Context) error
	// granted is one more than the denials that the connection had heard of when the
	// subject was last known to be allowed; 0: never.
	granted atomic.Uint64
}

// NewPermission makes a Permission. Flush waits until NATS has read all that was sent.
func NewPermission(b *Bus, subject string, flush func(context.Context) error) *Permission {
	return &Permission{bus: b, subject: subject, flush: flush}
}

// Known reports whether the subject is known to be allowed. Each denial that the
// connection hears of leaves that open, as permissions change under a connection.
func (p *Permission) Known() bool { return p.granted.Load() == p.bus.Denials.Count()+1 }

// Inquiry is one attempt to find out: Ask, publish, Outcome, Close.
type Inquiry struct {
	permission *Permission
	before     uint64 // the denials of the connection
	refused    atomic.Pointer[denials.Denial]
	unwatch    func()
}

// Ask comes before the message is published. Close follows.
func (p *Permission) Ask() *Inquiry {
	q := &Inquiry{permission: p, before: p.bus.Denials.Count()}
	q.unwatch = p.bus.Denials.Watch(func(d *denials.Denial) bool { return d.Publishing(p.subject) }, func(d *denials.Denial) { q.refused.Store(d) })
	return q
}

// Outcome returns why NATS has refused the message; nil if NATS took it, and also if
// NATS does not answer before the deadline.
func (q *Inquiry) Outcome(ctx context.Context, deadline time.Time) *status.Status {
	p := q.permission
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if p.flush(ctx) != nil {
		return nil
	}
	p.bus.Denials.Settle(ctx)
	if d := q.refused.Load(); d != nil {
		return Denied(p.subject, d.Err)
	}
	if denied, _ := p.bus.LastDenial(p.subject); denied != nil {
		return denied
	}
	p.granted.Store(q.before + 1)
	return nil
}

// Close ends the inquiry.
func (q *Inquiry) Close() { q.unwatch() }
