package memory

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// log has the durable events of a service.
type log struct {
	events []*Message
	ids    map[string]*Message // by method and message id
}

// consumer has the events that a group, or an instance, has not handled. That of a core
// event is gone with its last server.
type consumer struct {
	method  *spec.Method
	members []subscriber // those that compete
	turn    int          // of members
	pending []*delivery  // in order
}

type subscriber struct {
	*inmemory.Subscription

	server *server
}

// delivery is an event on its way to a handler.
type delivery struct {
	message  *Message
	key      string
	attempts int       // that have failed
	due      time.Time // of the next attempt
	by       *server   // that runs the handler now; nil if none does
}

// Publish publishes an event. A durable one is stored, and delivered later.
func (h *Hub) Publish(ctx context.Context, out *inmemory.Outgoing, id string, ev proto.Message) (*stores.Ack, *status.Status) {
	if ctx.Err() != nil {
		return nil, status.Of(ctx.Err()).WithNotRun(true)
	}
	ev, _, why := copied(ev, status.InvalidArgument, "the event "+string(out.Method.Desc.FullName()))
	if why != nil {
		return nil, why
	}
	m := &Message{Service: out.Service, Method: out.Method, Body: ev, Header: out.Header, ID: id, Time: time.Now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	ack := &stores.Ack{}
	if out.Method.Event.Durable {
		if ack = h.store(m); ack.Duplicate {
			return ack, nil
		}
	}
	h.published = append(h.published, m)
	for _, c := range h.consumers {
		if c.method.Desc.FullName() == out.Method.Desc.FullName() {
			c.pending = append(c.pending, deliver(m))
			h.pump(c)
		}
	}
	h.wake()
	return ack, nil
}

// store appends a durable event to its log, unless its id was stored within the dedupe
// window. The caller holds the mutex.
func (h *Hub) store(m *Message) *stores.Ack {
	l := h.logs[m.Service.Name]
	if l == nil {
		l = &log{ids: make(map[string]*Message)}
		h.logs[m.Service.Name] = l
	}
	ack := &stores.Ack{Stream: wire.EventStream(wire.DefaultNamespace, m.Service.Name)}
	id := m.Method.Name + "." + m.ID
	if first := l.ids[id]; m.ID != "" && first != nil && m.Time.Sub(first.Time) < m.Service.EventStorage.DedupeWindow {
		ack.Sequence, ack.Duplicate = first.Sequence, true
		return ack
	}
	m.Sequence = uint64(len(l.events) + 1)
	l.events = append(l.events, m)
	if m.ID != "" {
		l.ids[id] = m
	}
	ack.Sequence = m.Sequence
	return ack
}

func deliver(m *Message) *delivery {
	d := &delivery{message: m}
	if path := keyfield.New(m.Method.Event.KeyField); path != nil {
		d.key = path.Of(m.Body)
	}
	return d
}

func consumerKey(sub *inmemory.Subscription) string { return sub.Service.Name + " " + sub.Consumer }

// subscribe makes a server a member of a consumer. The caller holds the mutex.
func (h *Hub) subscribe(s *server, sub *inmemory.Subscription) {
	key := consumerKey(sub)
	c := h.consumers[key]
	if c == nil {
		c = &consumer{method: sub.Method}
		h.consumers[key] = c
		if l := h.logs[sub.Service.Name]; l != nil {
			for _, m := range l.events {
				if m.Method.Name == sub.Method.Name && sub.From(m.Sequence, m.Time) {
					c.pending = append(c.pending, deliver(m))
				}
			}
		}
	}
	c.members = append(c.members, subscriber{sub, s})
	h.pump(c)
}

// unsubscribe ends the memberships of a server. The caller holds the mutex.
func (h *Hub) unsubscribe(s *server) {
	for key, c := range h.consumers {
		c.members = slices.DeleteFunc(c.members, func(m subscriber) bool { return m.server == s })
		if len(c.members) == 0 && !c.method.Event.Durable {
			delete(h.consumers, key)
		}
	}
}

// next returns the event that can be handled next; nil if there is none. Of the events with
// one key only the first can. The caller holds the mutex.
func (c *consumer) next(now time.Time) *delivery {
	if len(c.members) == 0 {
		return nil
	}
	running, waiting := 0, make(map[string]bool)
	for _, d := range c.pending {
		if d.by != nil {
			running++
		}
	}
	if running >= c.members[0].Concurrency*len(c.members) {
		return nil
	}
	for _, d := range c.pending {
		if d.by == nil && !d.due.After(now) && !waiting[d.key] {
			return d
		}
		waiting[d.key] = c.method.Event.KeyField != nil
	}
	return nil
}

// pump begins all that can begin. The caller holds the mutex.
func (h *Hub) pump(c *consumer) {
	for d := c.next(time.Now()); d != nil; d = c.next(time.Now()) {
		sub := c.members[c.turn%len(c.members)]
		c.turn++
		d.by = sub.server
		h.running++
		go h.handle(c, d, sub)
	}
}

// pumpAll is pump for all that is there. The caller holds the mutex.
func (h *Hub) pumpAll() {
	for _, c := range h.consumers {
		h.pump(c)
	}
	for _, q := range h.queues {
		h.pumpQueue(q)
	}
}

// handle runs the handler of an event.
func (h *Hub) handle(c *consumer, d *delivery, sub subscriber) {
	in := handling(sub.server, d.message.Method, d.message.Header)
	if c.method.Event.Durable {
		in.Attempt = d.attempts + 1
		in.Delivery = &inmemory.Delivery{Sequence: d.message.Sequence, Time: d.message.Time, Attempt: in.Attempt}
	}
	err := sub.Handle(sub.server.Base, in, proto.Clone(d.message.Body))
	h.mu.Lock()
	defer h.mu.Unlock()
	d.by = nil
	h.running--
	if err == nil || !h.again(c, d, sub, err) {
		c.pending = slices.DeleteFunc(c.pending, func(other *delivery) bool { return other == d })
	}
	h.pump(c)
	h.wake()
}

// again decides what becomes of an event whose handler has failed. The caller holds the
// mutex.
func (h *Hub) again(c *consumer, d *delivery, sub subscriber, err error) bool {
	d.attempts++
	logger := sub.server.Logger.With("event", string(c.method.Desc.FullName()))
	switch {
	case !c.method.Event.Durable:
		logger.Error("aegis: the handler of a core event failed, and such events are not delivered again", "err", err)
		return false
	case !inmemory.ForTests().Permanent(err) && d.attempts < sub.Retry.MaxAttempts:
		logger.Warn("aegis: the handler of an event failed", "sequence", d.message.Sequence, "attempt", d.attempts, "err", err)
		d.due = time.Now().Add(work.Backoff(sub.Retry, d.attempts))
		h.at(d.due, func() { h.pump(c) })
		return true
	case sub.NoDeadLetters:
		logger.Error("aegis: an event is dropped", "sequence", d.message.Sequence, "attempts", d.attempts, "reason", err)
		return false
	}
	logger.Error("aegis: an event is dead", "sequence", d.message.Sequence, "attempts", d.attempts, "reason", err)
	h.dead = append(h.dead, &DeadLetter{Message: d.message, Consumer: sub.Consumer, Attempts: d.attempts, Why: inmemory.ForTests().Status(err)})
	return false
}
