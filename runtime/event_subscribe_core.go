package aegis

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// coreRunner handles core events as they come.
type coreRunner struct {
	*subscription
	core work.Core
}

func newCoreRunner(s *subscription) *coreRunner {
	r := &coreRunner{subscription: s}
	r.core = work.Core{
		NATS: s.server.conn.nc, Subject: s.server.conn.subjects.Event(s.service.Name, s.method.Name), Group: s.group,
		Concurrency: s.concurrency(), Handle: r.handleMessage,
	}
	return r
}

func (r *coreRunner) start(context.Context) error {
	r.server.hearing.Add(r.core.Subject, "the events of "+r.name, nil)
	if err := r.core.Start(); err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.core.Subject, err)
	}
	return nil
}

func (r *coreRunner) handleMessage(msg *nats.Msg) {
	ev, err := r.read(msg)
	if err != nil {
		r.logger().Error("aegis: an event that cannot be read is dropped", "err", err)
		return
	}
	r.call(r.context(msg, Delivery{}), ev, func(err error) {
		if err != nil {
			r.logger().Error("aegis: the handler of a core event failed, and such events are not delivered again", "err", original(err))
		}
	})
}

func (r *coreRunner) stop(context.Context) { r.core.Stop() }

func (r *coreRunner) wait() { r.core.Wait() }

func (r *coreRunner) end() {}

func (r *coreRunner) running(names map[string]int) {
	if n := r.core.Running(); n > 0 {
		names[r.public.FullName()] += n
	}
}
