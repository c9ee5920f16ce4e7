// Package bus has what calls, streams, events and commands need of a connection to
// NATS, and knows none of them: whether the link is up, replies that wait for it, one
// request and its reply, what NATS does not allow, and whether NATS can still say that
// nobody listens.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// ErrClosed is the cause of what fails because the connection is closed.
var ErrClosed = errors.New("aegis: the connection is closed")

// Bus is a connection to NATS with what belongs to it. It is safe for concurrent use.
type Bus struct {
	NATS    *nats.Conn
	Link    *link.Link
	Outbox  Outbox
	Denials *denials.Denials

	mux      *mux
	deafness deafness
	told     bool // of asynchronous errors
}

// New makes the bus of a connection. Frames gets what comes for streams, and may be nil; told says that
// Denials hears of all asynchronous errors.
func New(nc *nats.Conn, frames Frames, told bool) (*Bus, error) {
	b := &Bus{NATS: nc, Denials: denials.New(nc, told), told: told}
	var err error
	if b.mux, err = newMux(nc, frames); err != nil {
		return nil, fmt.Errorf("aegis: subscribe to replies: %w", err)
	}
	b.Link, b.Outbox.nc = link.New(nc), nc
	return b, nil
}

// Close follows when nobody waits any more.
func (b *Bus) Close() { b.mux.close() }

// Prefix is that of the subjects on which replies come.
func (b *Bus) Prefix() string { return b.mux.prefix }

// Acquire returns a slot for one request at a time; Release follows.
func (b *Bus) Acquire() *Slot { return b.mux.acquire() }

// Release gives a slot back.
func (b *Bus) Release(slot *Slot) { b.mux.release(slot) }

// Collect returns a reply subject whose replies all go to f, until stop is called. f
// is called by one goroutine at a time and must not wait.
func (b *Bus) Collect(f func(*nats.Msg)) (reply string, stop func()) { return b.mux.collect(f) }

// Waiting returns the requests that wait for a reply and were sent to subjects that
// match.
func (b *Bus) Waiting(match func(target string) bool) []Waiting { return b.mux.waitingFor(match) }

// Fail ends those requests.
func (b *Bus) Fail(match func(target string) bool, why *status.Status) {
	for _, w := range b.mux.waitingFor(match) {
		w.Fail(why)
	}
}

// Closed is the status of what needs a connection that is closed.
func Closed() *status.Status { return status.Because(ErrClosed, status.Canceled, ErrClosed.Error()) }

// LinkUp reports whether the connection is up. It asks nats.go as well: the link hears
// of an outage a moment later, in which nats.go would keep requests and send them after
// the reconnect.
func (b *Bus) LinkUp() bool {
	if !b.Link.Up() {
		return false
	}
	if b.NATS.IsConnected() {
		return true
	}
	b.Link.Doubt()
	return false
}

// LastError is the last error that NATS has reported; nil while the connection is
// down: nats.go may hold its lock then, as it dials.
func (b *Bus) LastError() error {
	if !b.Link.Up() {
		return nil
	}
	return b.NATS.LastError()
}

// AwaitLink waits until the connection is up, to send something to a subject, and
// returns why that was in vain.
func (b *Bus) AwaitLink(ctx context.Context, subject string, deadline time.Time) *status.Status {
	for !b.Link.Wait(ctx, deadline) {
		switch {
		case b.Link.Closed(): // nats.go would be asked in vain while it dials
			return Closed().WithNotRun(true)
		case ctx.Err() != nil:
			return status.Of(ctx.Err()).WithNotRun(true)
		case !time.Now().Before(deadline):
			return status.Because(context.DeadlineExceeded, status.DeadlineExceeded, NotConnected+"; nothing was sent to "+subject).WithNotRun(true)
		}
	}
	return nil
}
