package aegis

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Cancel asks for the end of the command and returns when that is stored: one
// that has not begun never will, and the context of a handler that runs ends.
// What such a handler then returns decides: a response makes the command succeed,
// an error makes it canceled. The code of the error is CodeFailedPrecondition if
// the command has ended already, and CodeNotFound if there is none.
func (c *Command[R]) Cancel(ctx context.Context) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.handle.cancel(ctx)
}

func (h *commandHandle) cancel(ctx context.Context) error {
	if h.broken != nil {
		return h.broken
	}
	view, err := h.view(ctx)
	switch {
	case err != nil:
		return err
	case view.State == CommandUnknown:
		return h.notFound()
	case view.State.Ended():
		return Errorf(CodeFailedPrecondition, "the command %s has ended already, as %s", h.id, view.State)
	}
	results := h.client.results()
	deadline, _ := ctx.Deadline()
	if err := results.ensureWithin(ctx, deadline); err != nil {
		return err
	}
	// First of all, should a command that is not due become so meanwhile.
	sequence, err := h.publishStop(ctx, results, view.send(), deadline)
	if err != nil {
		return err
	}
	if view.State == CommandScheduled {
		return h.unschedule(ctx, results, view.message, sequence, deadline)
	}
	h.crossed(ctx, results, sequence)
	return nil
}

// crossed looks whether the command has ended while its cancel was stored. The
// cancel may then be in nobody's hands any more, and is taken back.
func (h *commandHandle) crossed(ctx context.Context, results *openStream, sequence uint64) {
	// If it cannot be read, the cancel stays, and concerns nobody.
	if outcome, err := h.stored(ctx, wire.ResultResult); outcome != nil && err == nil {
		results.forgetStop(ctx, h.client.service.Name, h.id, sequence)
	}
}

// results is the stream of the results, as whoever came first has made it.
func (c *commandClient) results() *openStream {
	o := c.conn.openStream(c.conn.resultStream(c.service, &Storage{}), (&Storage{}).policy(func(string) {}))
	return &o
}

// stopTTL keeps a cancel until its command is worked, however long that waits. It
// is removed with the command's end.
const stopTTL = 365 * 24 * time.Hour

// publishStop stores that a command is to stop: that one, and none that has its
// id later. It returns the sequence of the cancel.
func (h *commandHandle) publishStop(ctx context.Context, results *openStream, send string, deadline time.Time) (uint64, *Error) {
	subject := h.client.conn.subjects.Result(h.client.service.Name, h.id, wire.ResultStop)
	header := nats.Header{wire.HeaderTTL: {stopTTL.String()}}
	slot := h.client.conn.bus.Acquire()
	defer h.client.conn.bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], send...)
	ack, err := results.store(ctx, slot, &storing{Subject: &subject, Header: header, Deadline: deadline, Again: true})
	if err != nil {
		return 0, err
	}
	h.client.conn.tellStop(h.client.service.Name, h.id, ack.Sequence, send)
	return ack.Sequence, nil
}

// forgetStop puts something short-lived in the place of a cancel, if that is
// still the last one. If it fails, the cancel stays, and concerns nobody.
func (o *openStream) forgetStop(ctx context.Context, service, id string, sequence uint64) {
	subject := o.conn.subjects.Result(service, id, wire.ResultStop)
	slot := o.conn.bus.Acquire()
	defer o.conn.bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], wire.StopOver...)
	header := nats.Header{wire.HeaderTTL: {time.Second.String()}, wire.HeaderExpectedLast: {strconv.FormatUint(sequence, 10)}}
	ack, err := o.store(ctx, slot, &storing{Subject: &subject, Header: header, Deadline: time.Now().Add(stores.DefaultTimeout), Again: true})
	if err == nil {
		o.conn.tellStop(service, id, ack.Sequence, wire.StopOver)
	}
}

// tellStop tells the workers of a cancel, or of the end of one.
func (c *Conn) tellStop(service, id string, sequence uint64, what string) {
	c.tell(service, id, wire.ResultStop, nats.Header{wire.HeaderSequence: {strconv.FormatUint(sequence, 10)}}, []byte(what))
}

// unschedule takes the command out of the schedule; if it has just entered the
// queue, it is canceled there.
func (h *commandHandle) unschedule(ctx context.Context, results *openStream, command *stores.Stored, stop uint64, deadline time.Time) error {
	service := h.client.service.Name
	stream, err := h.client.conn.stores.Find(ctx, wire.CommandStream(h.client.conn.ns, service))
	if err != nil {
		return storeError(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(command.Subject)); err != nil {
		return storeError(err)
	}
	view, failure := h.view(ctx)
	if failure != nil {
		return failure
	}
	if view.State != CommandUnknown { // a worker ends it
		h.crossed(ctx, results, stop)
		return nil
	}
	o := outcomeOf(wire.StateCanceled, errCanceledCommand, 0)
	o.of(command.Header.Get(wire.HeaderSend), h.method.Command.ResultTTL.String())
	if _, failure := o.store(ctx, results, service, h.id, deadline); failure != nil {
		return failure
	}
	results.forgetStop(ctx, service, h.id, stop)
	return nil
}
