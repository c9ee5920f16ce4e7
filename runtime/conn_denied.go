package aegis

import (
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
