package aegis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// PutBack publishes a dead letter again where it came from, with all attempts
// to come, and takes it out of the dead letters. An event goes to the group or
// the instance that gave it up and to nobody else; it comes after what was
// published meanwhile, also of its key. A command loses the result that it has
// failed, and its expiry. Done twice, it is done once, and it is no error if the
// letter is gone: it was put back or discarded.
//
// The code of the error is CodeFailedPrecondition if the command has ended
// otherwise since, if another command with its key waits or has a result, or if
// the letter has no data (see DeadLetter.Omitted). After any other error call it
// again.
func (c *Conn) PutBack(ctx context.Context, d *DeadLetter) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if d.Omitted > 0 {
		return Errorf(CodeFailedPrecondition, "dead letter %d of %s cannot be put back: its %d bytes of data were too many to be kept; send it anew",
			d.Sequence, d.Service, d.Omitted)
	}
	if there, err := c.letterIsThere(ctx, d); !there || err != nil {
		return err
	}
	send := "dead" + strconv.FormatInt(d.created.UnixNano(), 10) + "x" + strconv.FormatUint(d.Sequence, 10) // of this letter for ever
	h := make(nats.Header, len(d.raw)+4)
	for key, values := range d.raw {
		if !wire.HasPrefixFold(key, "nats-") && !wire.HasPrefixFold(key, "aegis-dead-") {
			h[key] = values
		}
	}
	delete(h, wire.HeaderExpires) // it is wanted after all
	// No id of a publisher begins like this.
	h[wire.HeaderMessageID] = []string{"$dead." + send}
	var err error
	if d.Consumer != "" {
		h[wire.HeaderOnly] = []string{d.Consumer}
		err = c.putEventBack(ctx, d, h)
	} else {
		h[wire.HeaderSend] = []string{send}
		err = c.putCommandBack(ctx, d, h, send)
	}
	if err != nil {
		return err
	}
	return c.DiscardDeadLetter(ctx, d)
}

// letterIsThere reports whether the letter is among the dead ones.
func (c *Conn) letterIsThere(ctx context.Context, d *DeadLetter) (bool, error) {
	if err := checkService(d.Service); err != nil {
		return false, err
	}
	stream, err := c.stores.Find(ctx, wire.DeadStream(c.ns, d.Service))
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case err != nil:
		return false, storeError(fmt.Errorf("the dead letters of %s: %w", d.Service, err))
	case !stream.CachedInfo().Created.Equal(d.created):
		return false, nil // it went with its stream, and another letter has its sequence
	}
	msg, failure := c.storedAt(ctx, wire.DeadStream(c.ns, d.Service), d.Sequence)
	return msg != nil, errorOrNone(failure)
}

func (c *Conn) putEventBack(ctx context.Context, d *DeadLetter, h nats.Header) error {
	origin, err := c.stores.Find(ctx, wire.EventStream(c.ns, d.Service))
	if err != nil {
		return storeError(fmt.Errorf("dead letter %d of %s cannot be put back: %w", d.Sequence, d.Service, err))
	}
	s := &storing{Header: h, Window: origin.CachedInfo().Config.Duplicates}
	return errorOrNone(c.storeAgain(ctx, d, s))
}

// putCommandBack queues a command again, unless it was queued already for this
// letter.
func (c *Conn) putCommandBack(ctx context.Context, d *DeadLetter, h nats.Header, send string) error {
	queue := wire.CommandStream(c.ns, d.Service)
	origin, err := c.stores.Find(ctx, queue)
	if err != nil {
		return storeError(fmt.Errorf("dead letter %d of %s cannot be put back: %w", d.Sequence, d.Service, err))
	}
	anywhere := c.subjects.CommandAnywhere(d.Service, d.Method, d.ID)
	if err := c.letterLeftQueue(ctx, d, queue, anywhere); err != nil {
		return err
	}
	done, failure := c.forgetFailure(ctx, d, send)
	if done || failure != nil {
		return errorOrNone(failure)
	}
	h[wire.HeaderExpectedLast] = []string{"0"}
	h[wire.HeaderExpectedSubject] = []string{anywhere}
	s := &storing{Header: h, Window: origin.CachedInfo().Config.Duplicates}
	for attempt := 1; ; attempt++ {
		refused := c.storeAgain(ctx, d, s)
		if refused == nil || !jserror.WrongLastSequence(refused) {
			return errorOrNone(refused)
		}
		waits, err := c.lastStored(ctx, queue, anywhere)
		switch {
		case err != nil:
			return err
		case waits != nil && waits.Header.Get(wire.HeaderSend) == send:
			return nil
		case waits != nil:
			return Errorf(CodeFailedPrecondition, "dead letter %d of %s cannot be put back: another command with its key waits", d.Sequence, d.Service)
		case !bus.Sleep(ctx, bus.Pause(attempt), s.Deadline):
			return refused
		}
	}
}

// letterLeftQueue waits until the failed command has left the queue: its result is
// stored before it is acknowledged, and until then it could be worked again if the
// result were not there.
func (c *Conn) letterLeftQueue(ctx context.Context, d *DeadLetter, queue, anywhere string) error {
	for attempt := 1; ; attempt++ {
		waits, err := c.lastStored(ctx, queue, anywhere)
		if err != nil {
			return err
		}
		if waits == nil || waits.Sequence != d.Origin || waits.Header.Get(wire.HeaderSend) != d.raw.Get(wire.HeaderSend) {
			return nil
		}
		if deadline, _ := ctx.Deadline(); !bus.Sleep(ctx, bus.Pause(attempt), deadline) {
			return Errorf(CodeUnavailable, "dead letter %d of %s cannot be put back yet: its worker has not acknowledged the command; try again after the ack wait",
				d.Sequence, d.Service)
		}
	}
}

// forgetFailure makes room for another result of a command. It reports whether
// the command has ended since it was put back.
func (c *Conn) forgetFailure(ctx context.Context, d *DeadLetter, send string) (done bool, failure *Error) {
	results := wire.ResultStream(c.ns, d.Service)
	outcome, failure := c.lastStored(ctx, results, c.subjects.Result(d.Service, d.ID, wire.ResultResult))
	switch {
	case failure != nil:
		return false, failure
	case outcome == nil:
		return false, nil
	case outcome.Header.Get(wire.HeaderSend) == send:
		return true, nil
	case outcome.Header.Get(wire.HeaderState) != wire.StateFailed || outcome.Header.Get(wire.HeaderSend) != d.raw.Get(wire.HeaderSend):
		return false, Errorf(CodeFailedPrecondition, "dead letter %d of %s cannot be put back: the command %s has ended since, as %s; discard the letter",
			d.Sequence, d.Service, d.ID, outcome.Header.Get(wire.HeaderState))
	}
	stream, err := c.stores.Find(ctx, results)
	if err == nil {
		err = c.stores.Delete(ctx, stream, outcome.Sequence) // this one, whatever comes after it
	}
	if err == nil {
		asking, why := c.stores.Allowed(ctx, "STREAM.PURGE."+results)
		err = why(stream.Purge(asking, jetstream.WithPurgeSubject(c.subjects.Result(d.Service, d.ID, wire.ResultProgress))))
	}
	if err != nil {
		return false, storeError(fmt.Errorf("the result of command %s of %s cannot be removed: %w", d.ID, d.Service, err))
	}
	return false, nil
}

func (c *Conn) storeAgain(ctx context.Context, d *DeadLetter, s *storing) *Error {
	s.Deadline, _ = ctx.Deadline()
	s.Subject, s.Again = &d.Subject, true
	stream := c.openStream(stores.Want{}, stores.Policy{}) // which is not made for this
	slot := c.bus.Acquire()
	defer c.bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], d.Data...)
	_, err := stream.store(ctx, slot, s)
	return err
}

// DiscardDeadLetter deletes a dead letter. It is no error if it is gone.
func (c *Conn) DiscardDeadLetter(ctx context.Context, d *DeadLetter) error {
	if err := checkService(d.Service); err != nil {
		return err
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	stream, err := c.stores.Find(ctx, wire.DeadStream(c.ns, d.Service))
	if err == nil && !stream.CachedInfo().Created.Equal(d.created) {
		return nil // it went with its stream, and another letter has its sequence
	}
	if err == nil {
		err = c.stores.Delete(ctx, stream, d.Sequence)
	}
	if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return storeError(fmt.Errorf("dead letter %d of %s cannot be deleted: %w", d.Sequence, d.Service, err))
}
