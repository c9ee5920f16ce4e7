// Package commandstore stores commands in their queue, and beside each command three
// messages about it: how far its handler is, that it is canceled, and how it has ended.
// Senders and workers both use it. A process that has stored such a message also
// publishes it, so that the processes that wait for the command, or work it, hear of the
// message at once.
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

// Results is the stream of the results of one service. It holds, for each command, the
// last progress, the cancel and the outcome. It is safe for concurrent use.
type Results struct {
	Bus      *bus.Bus
	Stores   *stores.Stores
	Subjects wire.Subjects
	Service  string // its full name
	Queue    string // the name of the stream with the commands themselves
	// Stream is where the messages are stored. The caller of a method that stores one
	// calls its Ensure first.
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

// tell publishes a message about a command that JetStream has acknowledged: nobody hears
// of a message that is not stored. If the process is lost before it can do so, the
// processes that wait for the command read the message at their next look.
func (r *Results) tell(id, kind string, header nats.Header, payload []byte) {
	_ = r.Bus.Outbox.Send(r.Subjects.Told(r.Service, id, kind), header, payload)
}

// PutProgress stores how far the handler of a command is, and tells it. ttl says how long
// that is kept, such as "24h0m0s".
func (r *Results) PutProgress(ctx context.Context, id, ttl string, p *wire.Progress, deadline time.Time) *status.Status {
	body := p.Encode()
	if _, why := r.put(ctx, id, wire.ResultProgress, nats.Header{wire.HeaderTTL: {ttl}}, body, deadline); why != nil {
		return why
	}
	r.tell(id, wire.ResultProgress, nil, body)
	return nil
}
