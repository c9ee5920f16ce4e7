package targets

import (
	"strings"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// failCalls ends the calls to an instance that was found to be gone. If the instance
// has stopped in good order, its last replies are at NATS, but another goroutine
// delivers them, and may be late. A call that was sent after the instance had left has
// got "no responders" there, unless another server of a cluster has dropped it.
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
		t.o.Bus.Settle(t.o.Context)
		for _, call := range calls {
			call.Fail(why)
		}
	})
}
