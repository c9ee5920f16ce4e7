package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// DeadLetterOffice reads the dead letters of the services of a namespace, puts them back
// and discards them. It is safe for concurrent use.
type DeadLetterOffice struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Layout stores.Layout
}

// StoredLetter is a letter as it is stored among the dead letters.
type StoredLetter struct {
	Service, Method string
	Sequence        uint64    // among the dead letters of the service
	Time            time.Time // when the letter was stored
	Reason          string
	Attempts        int
	ID              string // of a command; "" for an event
	Consumer        string // the consumer whose event it was; "" for a command
	Subject         string // on which the message was published
	Origin          uint64 // the sequence of the message in its own stream
	Header          nats.Header
	Data            []byte
	Omitted         int       // bytes of data that were left out
	Sent            time.Time // when the message was stored; zero if that is not known
	Created         time.Time // the stream of the letter; a stream that is made anew counts anew
}

// stream returns the name of the stream of the dead letters of a service.
func (o *DeadLetterOffice) stream(service string) string {
	return wire.DeadStream(o.Layout.Namespace, service)
}

// Letter returns the dead letter of a service that has the sequence; nil if there is
// none.
func (o *DeadLetterOffice) Letter(ctx context.Context, service string, sequence uint64) (*StoredLetter, *status.Status) {
	return o.get(ctx, service, sequence)
}

// Next returns the oldest dead letter of a service from the sequence on; nil if there is
// none.
func (o *DeadLetterOffice) Next(ctx context.Context, service string, sequence uint64) (*StoredLetter, *status.Status) {
	return o.NextOf(ctx, service, "", "", sequence)
}

// NextOf is Next for the letters of a method, and those of the command with an id; "" for all.
func (o *DeadLetterOffice) NextOf(ctx context.Context, service, method, id string, sequence uint64) (*StoredLetter, *status.Status) {
	subject := o.Layout.Subjects.Dead(service, cmp.Or(method, "*"), cmp.Or(id, ">"))
	return o.get(ctx, service, sequence, jetstream.WithGetMsgSubject(subject))
}

// get returns the letter at a sequence, or with options the next one from there.
func (o *DeadLetterOffice) get(ctx context.Context, service string, sequence uint64, opts ...jetstream.GetMsgOpt) (*StoredLetter, *status.Status) {
	name := o.stream(service)
	stream, err := o.Stores.Find(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // it is made with the first letter
	}
	if err != nil {
		return nil, stores.StatusOf(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	asking, why := o.Stores.Allowed(ctx, "DIRECT.GET."+name, "STREAM.MSG.GET."+name)
	msg, err := stream.GetMsg(asking, sequence, opts...)
	err = why(err)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, stores.StatusOf(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	letter, failure := o.parse(service, msg)
	if failure == nil {
		letter.Created = stream.CachedInfo().Created
	}
	return letter, failure
}

// parse reads a message of the stream of the dead letters.
func (o *DeadLetterOffice) parse(service string, msg *jetstream.RawStreamMsg) (*StoredLetter, *status.Status) {
	rest, ok := strings.CutPrefix(msg.Subject, strings.TrimSuffix(o.Layout.Subjects.DeadAll(service), ">"))
	method, id, _ := strings.Cut(rest, ".")
	if !ok || msg.Header.Get(wire.HeaderDeadSubject) == "" {
		return nil, status.Newf(status.Internal, "message %d among the dead letters of %s is none: its subject is %s",
			msg.Sequence, service, status.Quote(msg.Subject))
	}
	l := &StoredLetter{
		Service: service, Method: method, Sequence: msg.Sequence, Time: msg.Time,
		Reason: msg.Header.Get(wire.HeaderDeadReason), Consumer: msg.Header.Get(wire.HeaderDeadConsumer),
		Subject: msg.Header.Get(wire.HeaderDeadSubject), Header: msg.Header, Data: msg.Data,
	}
	l.Sent = sentOf(msg.Header.Get(wire.HeaderMessageID))
	l.Attempts, _ = strconv.Atoi(msg.Header.Get(wire.HeaderDeadAttempts))
	l.Omitted, _ = strconv.Atoi(msg.Header.Get(wire.HeaderDeadOmitted))
	l.Origin, _ = strconv.ParseUint(msg.Header.Get(wire.HeaderDeadSequence), 10, 64)
	if l.Consumer == "" {
		l.ID = id
	}
	return l, nil
}

// isThere reports whether a letter that was read is still among the dead letters.
func (o *DeadLetterOffice) isThere(ctx context.Context, l *StoredLetter) (bool, *status.Status) {
	stream, err := o.Stores.Find(ctx, o.stream(l.Service))
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return false, nil
	case err != nil:
		return false, stores.StatusOf(fmt.Errorf("the dead letters of %s: %w", l.Service, err))
	case !stream.CachedInfo().Created.Equal(l.Created):
		return false, nil // the letter went with its stream, and another letter has its sequence
	}
	msg, why := o.Stores.At(ctx, o.stream(l.Service), l.Sequence)
	return msg != nil, why
}

// Discard deletes a letter. It is no error if the letter is gone.
func (o *DeadLetterOffice) Discard(ctx context.Context, l *StoredLetter) *status.Status {
	stream, err := o.Stores.Find(ctx, o.stream(l.Service))
	if err == nil && !stream.CachedInfo().Created.Equal(l.Created) {
		return nil // the letter went with its stream, and another letter has its sequence
	}
	if err == nil {
		err = o.Stores.Delete(ctx, stream, l.Sequence)
	}
	if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return stores.StatusOf(fmt.Errorf("dead letter %d of %s cannot be deleted: %w", l.Sequence, l.Service, err))
}

// sentOf reads out of the message id of a letter when its message was stored; zero if it does
// not say that.
func sentOf(id string) time.Time {
	tokens := strings.Split(id, ".")
	if len(tokens) < 2 {
		return time.Time{}
	}
	at, err := strconv.ParseInt(tokens[len(tokens)-2], 10, 64)
	if err != nil || at <= 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}
