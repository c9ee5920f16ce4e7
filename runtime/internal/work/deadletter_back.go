package work

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/epochs"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// PutBack publishes a letter again where its message was published, and discards the
// letter. A letter that is gone was put back already, or discarded; then PutBack does
// nothing. Ctx has a deadline.
func (o *DeadLetterOffice) PutBack(ctx context.Context, l *StoredLetter) *status.Status {
	if l.Omitted > 0 {
		return status.Newf(status.FailedPrecondition, "dead letter %d of %s cannot be put back: its %d bytes of data were too many to be kept; send it anew",
			l.Sequence, l.Service, l.Omitted)
	}
	if there, why := o.isThere(ctx, l); !there || why != nil {
		return why
	}
	send := "dead" + strconv.FormatInt(l.Created.UnixNano(), 10) + "x" + strconv.FormatUint(l.Sequence, 10) // of this letter for ever
	h := make(nats.Header, len(l.Header)+4)
	for key, values := range l.Header {
		if !wire.HasPrefixFold(key, "nats-") && !wire.HasPrefixFold(key, "aegis-dead-") {
			h[key] = values
		}
	}
	delete(h, wire.HeaderExpires) // the person that puts it back wants it to be worked after all
	// No id of a publisher begins like this.
	h[wire.HeaderMessageID] = []string{"$dead." + send}
	var why *status.Status
	if l.Consumer != "" {
		h[wire.HeaderOnly] = []string{l.Consumer}
		why = o.putEventBack(ctx, l, h)
	} else {
		h[wire.HeaderSend] = []string{send}
		why = o.putCommandBack(ctx, l, h, send)
	}
	if why != nil {
		return why
	}
	return o.Discard(ctx, l)
}

// putEventBack stores an event again. Its id keeps a second attempt from storing it twice.
func (o *DeadLetterOffice) putEventBack(ctx context.Context, l *StoredLetter, h nats.Header) *status.Status {
	origin, err := o.Stores.Find(ctx, wire.EventStream(o.Layout.Namespace, l.Service))
	if err != nil {
		return stores.StatusOf(fmt.Errorf("dead letter %d of %s cannot be put back: %w", l.Sequence, l.Service, err))
	}
	cfg := origin.CachedInfo().Config
	now := *l
	now.Subject = o.subjectNow(l, cfg.Metadata)
	return o.publish(ctx, &now, &stores.Storing{Header: h, Window: cfg.Duplicates})
}

// subjectNow returns the subject to which an event is published now: another one than before if
// the number of partitions was changed since. A letter without the hash of its key is of an
// event that nobody could read, or was written by an older release, and goes anywhere.
func (o *DeadLetterOffice) subjectNow(l *StoredLetter, metadata map[string]string) string {
	h, ok := epochs.Of(metadata, l.Method)
	epoch, partition, parsed := o.Layout.Subjects.ParseLog(l.Service, l.Method, l.Subject)
	if !ok || !parsed || epoch >= h.Last() {
		return l.Subject
	}
	hash, err := strconv.ParseUint(l.Header.Get(wire.HeaderDeadHash), 10, 64)
	if err != nil {
		hash = uint64(partition)
	}
	return o.Layout.Subjects.LogIn(l.Service, l.Method, h.Last(), wire.Partition(hash, h.Now()))
}

// putCommandBack queues a command again, unless it was queued already for this letter.
func (o *DeadLetterOffice) putCommandBack(ctx context.Context, l *StoredLetter, h nats.Header, send string) *status.Status {
	queue := wire.CommandStream(o.Layout.Namespace, l.Service)
	origin, err := o.Stores.Find(ctx, queue)
	if err != nil {
		return stores.StatusOf(fmt.Errorf("dead letter %d of %s cannot be put back: %w", l.Sequence, l.Service, err))
	}
	anywhere := o.Layout.Subjects.CommandAnywhere(l.Service, l.Method, l.ID)
	if why := o.leftQueue(ctx, l, queue, anywhere); why != nil {
		return why
	}
	ended, why := o.removeFailure(ctx, l, send)
	if ended || why != nil {
		return why
	}
	h[wire.HeaderExpectedLast] = []string{"0"}
	h[wire.HeaderExpectedSubject] = []string{anywhere}
	s := &stores.Storing{Header: h, Window: origin.CachedInfo().Config.Duplicates}
	for attempt := 1; ; attempt++ {
		refused := o.publish(ctx, l, s)
		if refused == nil || !jserror.WrongLastSequence(refused.Cause) {
			return refused
		}
		waits, why := o.Stores.Last(ctx, queue, anywhere)
		switch {
		case why != nil:
			return why
		case waits != nil && waits.Header.Get(wire.HeaderSend) == send:
			return nil
		case waits != nil:
			return status.Newf(status.FailedPrecondition, "dead letter %d of %s cannot be put back: another command with its key waits", l.Sequence, l.Service)
		case !bus.Sleep(ctx, bus.Pause(attempt), s.Deadline):
			return refused
		}
	}
}

// leftQueue waits until the failed command has left the queue. Its worker stores the
// result before it acknowledges the command: without the result, and not acknowledged,
// the command could be worked once more.
func (o *DeadLetterOffice) leftQueue(ctx context.Context, l *StoredLetter, queue, anywhere string) *status.Status {
	for attempt := 1; ; attempt++ {
		waits, why := o.Stores.Last(ctx, queue, anywhere)
		if why != nil {
			return why
		}
		if waits == nil || waits.Sequence != l.Origin || waits.Header.Get(wire.HeaderSend) != l.Header.Get(wire.HeaderSend) {
			return nil
		}
		if deadline, _ := ctx.Deadline(); !bus.Sleep(ctx, bus.Pause(attempt), deadline) {
			return status.Newf(status.Unavailable,
				"dead letter %d of %s cannot be put back yet: its worker has not acknowledged the command; try again after the ack wait", l.Sequence, l.Service)
		}
	}
}

// removeFailure removes the result that the command has failed, which makes room for
// another result. It reports whether the command has ended since it was put back.
func (o *DeadLetterOffice) removeFailure(ctx context.Context, l *StoredLetter, send string) (ended bool, why *status.Status) {
	results, subjects := wire.ResultStream(o.Layout.Namespace, l.Service), o.Layout.Subjects
	outcome, why := o.Stores.Last(ctx, results, subjects.Result(l.Service, l.ID, wire.ResultResult))
	switch {
	case why != nil:
		return false, why
	case outcome == nil:
		return false, nil
	case outcome.Header.Get(wire.HeaderSend) == send:
		return true, nil
	case outcome.Header.Get(wire.HeaderState) != wire.StateFailed || outcome.Header.Get(wire.HeaderSend) != l.Header.Get(wire.HeaderSend):
		return false, status.Newf(status.FailedPrecondition,
			"dead letter %d of %s cannot be put back: the command %s has ended since, as %s; discard the letter",
			l.Sequence, l.Service, l.ID, outcome.Header.Get(wire.HeaderState))
	}
	stream, err := o.Stores.Find(ctx, results)
	if err == nil {
		err = o.Stores.Delete(ctx, stream, outcome.Sequence) // this result, and none that is stored meanwhile
	}
	if err == nil {
		asking, allowed := o.Stores.Allowed(ctx, "STREAM.PURGE."+results)
		err = allowed(stream.Purge(asking, jetstream.WithPurgeSubject(subjects.Result(l.Service, l.ID, wire.ResultProgress))))
	}
	if err != nil {
		return false, stores.StatusOf(fmt.Errorf("the result of command %s of %s cannot be removed: %w", l.ID, l.Service, err))
	}
	return false, nil
}

// publish stores the letter's message again. The stream is not made for that.
func (o *DeadLetterOffice) publish(ctx context.Context, l *StoredLetter, s *stores.Storing) *status.Status {
	s.Deadline, _ = ctx.Deadline()
	s.Subject, s.Again = &l.Subject, true
	stream := stores.Stream{Stores: o.Stores}
	slot := o.Bus.Acquire()
	defer o.Bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], l.Data...)
	_, why := stream.Store(ctx, slot, s)
	return why
}
