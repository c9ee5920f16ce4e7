// Package commandstore stores commands, and beside each command what becomes of it: how
// far its handler is, that it is canceled, and how it has ended. Senders and workers
// use it alike. What is stored beside a command is also told to those who wait for it,
// by whoever has stored it.
package commandstore

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Results is the stream with what is known of the commands of one service: the last
// progress, the cancel and the outcome of each. It is safe for concurrent use.
type Results struct {
	Bus      *bus.Bus
	Stores   *stores.Stores
	Subjects wire.Subjects
	Service  string // its full name
	Queue    string // the name of the stream with the commands themselves
	// Stream is where all that is stored. Whoever stores something ensures first that
	// it is there.
	Stream stores.Stream
}

// Last returns the last message about a command, of a kind such as wire.ResultResult;
// nil if there is none.
func (r *Results) Last(ctx context.Context, id, kind string) (*stores.Stored, *status.Status) {
	return r.Stores.Last(ctx, r.Stream.Want.Name, r.Subjects.Result(r.Service, id, kind))
}

// put stores a message about a command.
func (r *Results) put(ctx context.Context, id, kind string, header nats.Header, payload []byte, deadline time.Time) (*stores.Ack, *status.Status) {
	subject := r.Subjects.Result(r.Service, id, kind)
	slot := r.Bus.Acquire()
	defer r.Bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], payload...)
	return r.Stream.Store(ctx, slot, &stores.Storing{Subject: &subject, Header: header, Deadline: deadline, Again: true})
}

// tell tells those who wait for a command what is stored about it. Whoever has stored
// it does that, once JetStream has acknowledged it: nobody hears what is not stored.
// If nobody does, as the process is lost just then, those who wait find it at their
// next look.
func (r *Results) tell(id, kind string, header nats.Header, payload []byte) {
	_ = r.Bus.Outbox.Send(r.Subjects.Told(r.Service, id, kind), header, payload)
}

// PutProgress stores how far a command is, for as long as its outcome would be kept.
func (r *Results) PutProgress(ctx context.Context, id, ttl string, p *wire.Progress, deadline time.Time) *status.Status {
	body := p.Encode()
	if _, why := r.put(ctx, id, wire.ResultProgress, nats.Header{wire.HeaderTTL: {ttl}}, body, deadline); why != nil {
		return why
	}
	r.tell(id, wire.ResultProgress, nil, body)
	return nil
}
