package bus

import (
	"context"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// settleTime bounds the wait for replies that have arrived and are not delivered yet.
const settleTime = time.Second

// ConnectionLost is the status of a request that may be sent again, whose reply may have been lost
// with the connection.
var ConnectionLost = status.Refusal(status.Unavailable, status.ReasonConnectionLost,
	"the connection to NATS was lost before the reply came; whether the handler ran is unknown")

// Repeat allows requests to be sent again. It must not be copied while it is used.
type Repeat struct {
	// Budget pays for each of them.
	Budget interface{ Withdraw(now time.Time) bool }
}

// Interrupted is a request that waited for its reply when the connection came back.
type Interrupted struct {
	Waiting

	repeat *Repeat
}

// Interrupted returns the requests that wait for a reply and may be sent again, when the
// connection has just come back: what was on its way then, there or back, is lost, and
// nobody says so.
func (b *Bus) Interrupted() []Interrupted {
	var all []Interrupted
	for _, w := range b.mux.waitingFor(func(string) bool { return true }) {
		if repeat := w.slot.repeat.Load(); repeat != nil {
			all = append(all, Interrupted{w, repeat})
		}
	}
	return all
}

// Resend ends requests that were interrupted, for their senders to send them again, unless
// their replies had come before. One for which the budget does not pay waits on: its
// handler may still run, and reply.
func (b *Bus) Resend(ctx context.Context, requests []Interrupted) {
	b.Settle(ctx)
	for _, r := range requests {
		if r.waits() && r.repeat.Budget.Withdraw(time.Now()) {
			r.Fail(ConnectionLost)
		}
	}
}

// Settle returns when all replies are delivered that NATS has by now, and with them
// NATS's word that nobody listens to a request that was just sent.
func (b *Bus) Settle(ctx context.Context) {
	// In an outage there is nothing to wait for.
	_ = b.NATS.FlushTimeout(settleTime)
	delivered := make(chan struct{}) // closed by nats.go
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	if b.NATS.Barrier(func() { close(delivered) }) != nil {
		return // the connection is closed
	}
	select {
	case <-delivered:
	case <-timer.C: // a callback of some subscription takes long
	case <-ctx.Done():
	}
}
