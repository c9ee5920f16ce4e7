package aegis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// coreRunner handles core events as they come. What the handlers are too slow
// for waits in nats.go, which drops what exceeds its limits (500,000 messages
// or 64 MB) and says so in the log.
type coreRunner struct {
	*subscription
	sub    *nats.Subscription
	closed chan struct{}  // no event comes any more
	slots  chan struct{}  // nil if one handler runs at a time
	busy   sync.WaitGroup // handlers
	count  atomic.Int64
}

func (r *coreRunner) start(context.Context) error {
	if n := r.concurrency(); n > 1 {
		r.slots = make(chan struct{}, n)
	}
	nc := r.server.conn.nc
	subject := r.server.conn.subjects.Event(r.service.Name, r.method.Name)
	var err error
	if r.each {
		r.sub, err = nc.Subscribe(subject, r.received)
	} else {
		r.sub, err = nc.QueueSubscribe(subject, r.group, r.received)
	}
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", subject, err)
	}
	r.closed = make(chan struct{})
	var once sync.Once // nats.go may call it twice
	r.sub.SetClosedHandler(func(string) { once.Do(func() { close(r.closed) }) })
	return nil
}

// received is called by one goroutine at a time.
func (r *coreRunner) received(msg *nats.Msg) {
	if r.slots == nil {
		r.count.Add(1)
		defer r.count.Add(-1)
		r.handleMessage(msg)
		return
	}
	r.slots <- struct{}{}
	r.count.Add(1)
	r.busy.Go(func() {
		defer func() { r.count.Add(-1); <-r.slots }()
		r.handleMessage(msg)
	})
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

// context is that of one handler; a core event has no delivery.
func (s *subscription) context(msg *nats.Msg, d Delivery) *eventContext {
	ctx := &eventContext{
		Context:  s.server.base,
		call:     Call{spec: s.spec, instance: s.server.cfg.instance, attempt: max(d.Attempt, 1)},
		delivery: d,
	}
	if len(msg.Header) > 0 {
		ctx.call.incoming = func() Header {
			h, err := decodeHeader(msg.Header)
			if err != nil {
				return Header{} // a value that is no base64 is nobody's
			}
			return h
		}
	}
	return ctx
}

// stop has NATS send no more; what it has sent is handled.
func (r *coreRunner) stop(context.Context) {
	if r.sub == nil {
		return
	}
	if !r.server.conn.nc.IsConnected() || r.sub.Drain() != nil {
		_ = r.sub.Unsubscribe() // fails only if it is gone already
	}
}

func (r *coreRunner) wait() {
	if r.sub != nil {
		<-r.closed
		r.busy.Wait()
	}
}

func (r *coreRunner) end() {}

func (r *coreRunner) running(names map[string]int) {
	if n := int(r.count.Load()); n > 0 {
		names[r.spec.name()] += n
	}
}
