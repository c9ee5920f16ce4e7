package aegis

import (
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/selection"
)

// Waiting returns how many calls wait for their replies.
func (c *Conn) Waiting() int { return len(c.bus.Waiting(func(string) bool { return true })) }

// Busy reports whether the last heartbeat of an instance told of a call.
func (c *Conn) Busy(service, instance string) bool {
	t, why := c.targets().Of(service)
	return why == nil && slices.ContainsFunc(t.Candidates(), func(i *selection.Instance) bool {
		return i.ID() == instance && i.Load().InFlight > 0
	})
}

// HoldReplies keeps replies from being delivered until release is called.
func (c *Conn) HoldReplies() (release func()) {
	held, letGo := make(chan struct{}), make(chan struct{})
	subject, stop := c.bus.Collect(func(*nats.Msg) { close(held); <-letGo })
	_ = c.nc.Publish(subject, nil)
	<-held
	stop()
	return func() { close(letGo) }
}
