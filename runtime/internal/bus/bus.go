// Package bus is a connection to NATS as calls, streams, events and commands need it:
// it knows whether the link is up, keeps replies until it is, sends one request and waits
// for its reply, hears of refused permissions, and finds out whether NATS can still say
// that nobody listens. It knows nothing of its users.
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

// ErrClosed is the cause of each failure because the connection is closed.
var ErrClosed = errors.New("aegis: the connection is closed")

// Bus is a connection to NATS with its link, its replies and its refused permissions. It
// is safe for concurrent use.
type Bus struct {
	NATS    *nats.Conn
	Link    *link.Link
	Outbox  Outbox
	Denials *denials.Denials

	mux      *mux
	deafness deafness
	told     bool // the denials hear of all asynchronous errors
}

// New makes the bus of a connection. frames gets the messages for streams, and may be
// nil; told says that Denials hears of all asynchronous errors.
func New(nc *nats.Conn, frames Frames, told bool) (*Bus, error) {
	b := &Bus{NATS: nc, Denials: denials.New(nc, told), told: told}
	var err error
	if b.mux, err = newMux(nc, frames); err != nil {
		return nil, fmt.Errorf("aegis: subscribe to replies: %w", err)
	}
	b.Link, b.Outbox.nc = link.New(nc), nc
	return b, nil
}

// Close is called when no request waits any more.
func (b *Bus) Close() { b.mux.close() }

// Prefix returns the prefix of the subjects on which replies come.
func (b *Bus) Prefix() string { return b.mux.prefix }

// Acquire returns a slot for one request at a time; Release follows.
func (b *Bus) Acquire() *Slot { return b.mux.acquire() }

// Release gives a slot back.
func (b *Bus) Release(slot *Slot) { b.mux.release(slot) }

// Collect returns a reply subject whose replies all go to f, until stop is called. One
// goroutine at a time calls f, which must not wait.
func (b *Bus) Collect(f func(*nats.Msg)) (reply string, stop func()) { return b.mux.collect(f) }

// Waiting returns the requests that wait for a reply, and that were sent to subjects
// for which match returns true.
func (b *Bus) Waiting(match func(target string) bool) []Waiting { return b.mux.waitingFor(match) }

// Fail ends the requests that Waiting returns.
func (b *Bus) Fail(match func(target string) bool, why *status.Status) {
	for _, w := range b.mux.waitingFor(match) {
		w.Fail(why)
	}
}

// Closed returns the status of a call, or of anything else, that needs a connection
// which is closed.
func Closed() *status.Status { return status.Because(ErrClosed, status.Canceled, ErrClosed.Error()) }

// LinkUp reports whether the connection is up. It asks nats.go as well, as the link
// hears of an outage a moment later: nats.go of a user's own connection may keep requests
// of that moment and send them after the reconnect.
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

// LastError returns the last error that NATS has reported, or nil while the connection
// is down: nats.go may hold its lock then, as it dials.
func (b *Bus) LastError() error {
	if !b.Link.Up() {
		return nil
	}
	return b.NATS.LastError()
}

// AwaitLink waits until the connection is up, so that a message can be sent to a
// subject. It returns nil then, else the reason why it waits no longer.
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
