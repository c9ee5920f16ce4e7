package denials

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Subscribing notes which subscriptions NATS refuses while a server starts: nats.go
// returns no error for them. Close follows. It is used by one goroutine.
type Subscribing struct {
	nc      *nats.Conn
	denials *Denials
	before  error // the connection's last error when the subscriptions began
	first   atomic.Pointer[Denial]
	stop    func()
}

// NewSubscribing begins to note the subscriptions that are refused, except to subjects
// that the server can do without.
func NewSubscribing(nc *nats.Conn, d *Denials, optional func(subject string) bool) *Subscribing {
	s := &Subscribing{nc: nc, denials: d, before: nc.LastError()}
	s.stop = d.Watch(
		func(d *Denial) bool { return d.Subscribe && !optional(d.Subject) },
		func(d *Denial) { s.first.CompareAndSwap(nil, d) })
	return s
}

// Begin has Refused look only at what NATS reports from now on as the connection's last
// error. It is called before subscriptions, and after work that may be refused.
func (s *Subscribing) Begin() { s.before = s.nc.LastError() }

// Refused returns why NATS refused a subscription, nil if it refused none. NATS has to
// have read them all: the caller has flushed the connection.
func (s *Subscribing) Refused(ctx context.Context) error {
	s.denials.Settle(ctx)
	last := s.nc.LastError()
	if last != s.before && RefusesSubscription(last) { //nolint:errorlint // is it another one?
		return last
	}
	// Another error may have followed at once, and is the last one now.
	if d := s.first.Load(); d != nil {
		return d.Err
	}
	return nil
}

// Close ends the noting.
func (s *Subscribing) Close() { s.stop() }
