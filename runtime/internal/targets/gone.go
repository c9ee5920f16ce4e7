package targets

import (
	"strings"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// settleTime bounds the wait for replies that have arrived and are not delivered yet.
const settleTime = time.Second

// failCalls ends the calls to an instance that was found to be gone. If the instance
// has stopped in good order, its last replies are at NATS, but another goroutine
// delivers them, and may be late. A call that was sent after the instance had left has
// got "no responders" there.
func (t *Table) failCalls(instance string) {
	prefix := t.o.Subjects.Instance(instance, t.service, "")
	calls := t.o.Bus.Waiting(func(target string) bool {
		method, ok := strings.CutPrefix(target, prefix)
		return ok && !strings.Contains(method, ".")
	})
	if len(calls) == 0 {
		return
	}
	why := status.Refusal(status.Unavailable, status.ReasonInstanceLost,
		"the instance %s of %s was found to be gone before it replied; whether the handler ran is unknown", instance, t.service)
	t.o.Start(func() {
		t.o.settle()
		for _, call := range calls {
			call.Fail(why)
		}
	})
}

// settle returns when all replies are delivered that NATS has by now, and with them
// NATS's word that nobody listens to a request that was just sent.
func (o *Options) settle() {
	// In an outage there is nothing to wait for.
	_ = o.Bus.NATS.FlushTimeout(settleTime)
	delivered := make(chan struct{}) // closed by nats.go
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	if o.Bus.NATS.Barrier(func() { close(delivered) }) != nil {
		return // the connection is closed
	}
	select {
	case <-delivered:
	case <-timer.C: // a callback of some subscription takes long
	case <-o.Context.Done():
	}
}
