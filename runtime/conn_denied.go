package aegis

import (
	"strings"
	"sync/atomic"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// permissionDenied takes an asynchronous error of the connection. If that says where
// this user may not publish, it ends what waits for an answer from there; nats.go
// reports such a thing only here. It reports whether whoever has published there
// tells it to people, so that nobody else has to.
func (c *Conn) permissionDenied(err error) (told bool) {
	if subject, ok := denials.RefusesPublishing(err); ok {
		denied := permissionError(subject, err)
		c.bus.Fail(func(target string) bool { return target == subject }, &denied.st)
		c.streams.Deny(subject, &denied.st)
		c.async.Deny(subject, &denied.st)
	}
	return c.bus.Denials.Heard(err)
}

func permissionError(subject string, err error) *Error { return outward(bus.Denied(subject, err)) }

// unheard is the first subscription that NATS has refused while a server starts. The
// last error of the connection tells it as well, unless another one follows at once.
type unheard struct {
	first atomic.Pointer[denials.Denial]
}

func (u *unheard) err() error {
	if d := u.first.Load(); d != nil {
		return d.Err
	}
	return nil
}

// watchSubscriptions takes note of the subscriptions that NATS refuses until stop is
// called, but for those that a server can do without: to the heartbeats of its name and
// to the tools for NATS micro.
func (s *Server) watchSubscriptions() (stop func()) {
	beats := strings.TrimSuffix(s.conn.subjects.Beats(""), ">")
	return s.conn.bus.Denials.Watch(func(d *denials.Denial) bool {
		return d.Subscribe && !strings.HasPrefix(d.Subject, beats) && !strings.HasPrefix(d.Subject, "$SRV.")
	}, func(d *denials.Denial) { s.unheard.first.CompareAndSwap(nil, d) })
}
