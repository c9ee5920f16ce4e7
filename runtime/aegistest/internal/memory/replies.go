package memory

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// replies are those of a broadcast. One goroutine uses it.
type replies struct {
	ctx     context.Context //nolint:containedctx // the broadcast's
	cancel  context.CancelFunc
	out     *inmemory.Outgoing
	answers chan reply
	waiting []member // that have not answered
	came    int
}

type reply struct {
	*answer

	instance string
}

// Next waits for the next reply. At the deadline each instance that has not answered has
// a reply that says so, unless the caller has said otherwise when to stop.
func (r *replies) Next(res proto.Message) (instance string, why *status.Status) {
	enough := r.out.Replies > 0 && r.came == r.out.Replies
	if len(r.waiting) == 0 || enough {
		return "", rpcstream.EOF
	}
	var silence <-chan time.Time
	if r.out.Silence > 0 {
		timer := time.NewTimer(r.out.Silence)
		defer timer.Stop()
		silence = timer.C
	}
	select {
	case a := <-r.answers:
		r.came++
		r.forget(a.instance)
		if a.why == nil {
			proto.Merge(res, a.res)
		}
		return a.instance, a.why
	case <-silence:
		return "", rpcstream.EOF
	case <-r.ctx.Done():
		return r.late()
	}
}

// late is Next when the context has ended.
func (r *replies) late() (instance string, why *status.Status) {
	if r.ctx.Err() == context.Canceled {
		return "", status.Of(r.ctx.Err())
	}
	if r.out.Replies > 0 || r.out.Silence > 0 {
		return "", rpcstream.EOF
	}
	instance = r.waiting[0].server.Instance
	r.forget(instance)
	return instance, status.Because(r.ctx.Err(), status.DeadlineExceeded, instance+" has not answered before the deadline")
}

func (r *replies) forget(instance string) {
	r.waiting = slices.DeleteFunc(r.waiting, func(m member) bool { return m.server.Instance == instance })
}

// Drop ends the contexts of the handlers that still run.
func (r *replies) Drop() { r.cancel() }
