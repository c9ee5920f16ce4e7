package aegis

import (
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// permissionDenied takes an asynchronous error of the connection. If the error says where
// this user may not publish, permissionDenied ends the calls, streams and events that wait
// for an answer from there: nats.go reports a missing permission in no other way. It
// reports whether one of them gets the error, so that the log need not have it.
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
