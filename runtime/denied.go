package aegis

import (
	"strings"
	"sync/atomic"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// permissionDenied takes an asynchronous error of the connection. If that says where
// this user may not publish, it ends what waits for an answer from there; nats.go
// reports such a thing only here. It reports whether whoever has published there
// tells it to people, so that nobody else has to.
func (c *Conn) permissionDenied(err error) (told bool) {
	if subject, ok := deniedPublish(err); ok {
		denied := permissionError(subject, err)
		c.mux.fail(func(target string) bool { return target == subject }, denied)
		c.streams.fail(func(s *stream) bool { return s.uses(subject) }, denied)
		c.async.deny(subject, denied)
	}
	return c.denials.Heard(err)
}

func permissionError(subject string, err error) *Error {
	return because(err, CodePermissionDenied, "NATS does not allow this user to publish to "+subject+"; add it to the user's permissions")
}

// deniedSubscribe tells refused subscriptions from refused publishing.
func deniedSubscribe(err error) bool {
	d := denials.Parse(err)
	return d != nil && d.Subscribe
}

func deniedPublish(err error) (subject string, ok bool) {
	d := denials.Parse(err)
	if d == nil || d.Subscribe {
		return "", false
	}
	return d.Subject, true
}

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
	return s.conn.denials.Watch(func(d *denials.Denial) bool {
		return d.Subscribe && !strings.HasPrefix(d.Subject, beats) && !strings.HasPrefix(d.Subject, "$SRV.")
	}, func(d *denials.Denial) { s.unheard.first.CompareAndSwap(nil, d) })
}
