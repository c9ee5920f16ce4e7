package collect

import (
	"github.com/nats-io/nats.go"
)

// The bounds of what waits to be read of a subscription. NATS's client drops what comes on
// top.
const (
	backlog      = 16 << 10
	backlogBytes = 64 << 20
)

// listen calls heard with each message of a subject. The function that it returns ends that,
// and returns when heard is called no more. The error says that the connection is closed.
func (c *Collector) listen(subject string, heard func(*nats.Msg)) (stop func(), err error) {
	ended := make(chan struct{})
	sub, err := c.conn.NATS().Subscribe(subject, heard)
	if err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) { close(ended) })
	_ = sub.SetPendingLimits(backlog, backlogBytes) // fails only if it is gone already
	return func() {
		_ = sub.Unsubscribe() // fails only if it is gone already
		<-ended
	}, nil
}
