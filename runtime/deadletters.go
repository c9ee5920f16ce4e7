package aegis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
)

// DeadLetter is an event or a command that could not be handled.
type DeadLetter struct {
	// Service and Method say what it is.
	Service, Method string
	// Sequence identifies it among the dead letters of the service.
	Sequence uint64
	// Time is when it was given up, by the NATS server's clock.
	Time time.Time
	// Reason is why, and Attempts how often it was tried.
	Reason   string
	Attempts int
	// ID is that of a command, and "" for an event.
	ID string
	// Consumer is whose event it was: "g-", the group and the method, or "i-", the
	// instance and the method. "" for a command.
	Consumer string
	// Subject is where it was published, and Origin its sequence in the stream
	// there.
	Subject string
	Origin  uint64
	// Header is its metadata.
	Header Header
	// Data is the message, as it was published.
	Data []byte

	raw nats.Header
}

// Unmarshal decodes the message into m.
func (d *DeadLetter) Unmarshal(m proto.Message) error {
	if err := proto.Unmarshal(d.Data, m); err != nil {
		return fmt.Errorf("aegis: dead letter %d of %s.%s: %w", d.Sequence, d.Service, d.Method, err)
	}
	return nil
}

// DeadLetters returns the dead letters of a service, by its full name, the oldest
// first. The loop ends after an error. The user needs to read the stream of the
// dead letters, see docs/protocol.md.
func (c *Conn) DeadLetters(ctx context.Context, service string) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		for next := uint64(1); ; {
			d, err := c.deadLetter(ctx, service, next, jetstream.WithGetMsgSubject(c.subjects.DeadAll(service)))
			switch {
			case errors.Is(err, errNoDeadLetter):
				return
			case err != nil:
				yield(nil, err)
				return
			case !yield(d, nil):
				return
			}
			next = d.Sequence + 1
		}
	}
}

// DeadLetter returns one of the dead letters of a service. The code of the error
// is CodeNotFound if there is none of this sequence.
func (c *Conn) DeadLetter(ctx context.Context, service string, sequence uint64) (*DeadLetter, error) {
	d, err := c.deadLetter(ctx, service, sequence)
	if errors.Is(err, errNoDeadLetter) {
		return nil, Errorf(CodeNotFound, "%s has no dead letter %d", service, sequence)
	}
	return d, err
}

var errNoDeadLetter = errors.New("no dead letter")

func (c *Conn) deadLetter(ctx context.Context, service string, sequence uint64, opts ...jetstream.GetMsgOpt) (*DeadLetter, error) {
	stream, err := c.stores.Find(ctx, wire.DeadStream(c.ns, service))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, errNoDeadLetter // it is made with the first one
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	msg, err := stream.GetMsg(ctx, sequence, opts...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errNoDeadLetter
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	return c.parseDeadLetter(service, msg)
}

func (c *Conn) parseDeadLetter(service string, msg *jetstream.RawStreamMsg) (*DeadLetter, error) {
	rest, ok := strings.CutPrefix(msg.Subject, strings.TrimSuffix(c.subjects.DeadAll(service), ">"))
	method, id, _ := strings.Cut(rest, ".")
	if !ok || msg.Header.Get(wire.HeaderDeadSubject) == "" {
		return nil, Errorf(CodeInternal, "message %d among the dead letters of %s is none: its subject is %s", msg.Sequence, service, quote(msg.Subject))
	}
	header, err := decodeHeader(msg.Header)
	if err != nil {
		header = Header{} // it is dead for other reasons too
	}
	d := &DeadLetter{
		Service: service, Method: method, Sequence: msg.Sequence, Time: msg.Time,
		Reason: msg.Header.Get(wire.HeaderDeadReason), Consumer: msg.Header.Get(wire.HeaderDeadConsumer),
		Subject: msg.Header.Get(wire.HeaderDeadSubject), Header: header, Data: msg.Data, raw: msg.Header,
	}
	d.Attempts, _ = strconv.Atoi(msg.Header.Get(wire.HeaderDeadAttempts))
	d.Origin, _ = strconv.ParseUint(msg.Header.Get(wire.HeaderDeadSequence), 10, 64)
	if d.Consumer == "" {
		d.ID = id
	}
	return d, nil
}

// PutBack publishes a dead letter again where it came from, with all attempts
// to come, and takes it out of the dead letters. An event goes to the group or
// the instance that gave it up and to nobody else; it comes after what was
// published meanwhile, also of its key. A command loses the result that it has
// failed, and its expiry. Done twice, it is done once.
func (c *Conn) PutBack(ctx context.Context, d *DeadLetter) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	h := make(nats.Header, len(d.raw)+2)
	for key, values := range d.raw {
		if !hasPrefixFold(key, "nats-") && !hasPrefixFold(key, "aegis-dead-") {
			h[key] = values
		}
	}
	// No id of a publisher begins like this.
	h[wire.HeaderMessageID] = []string{"$dead." + uitoa(d.Sequence)}
	if d.Consumer != "" {
		h[wire.HeaderOnly] = []string{d.Consumer}
	} else if err := c.forgetResult(ctx, d); err != nil {
		return err
	}
	delete(h, wire.HeaderExpires) // it is wanted after all
	if err := c.storeAgain(ctx, d, h); err != nil {
		return err
	}
	return c.DiscardDeadLetter(ctx, d)
}

// forgetResult makes room for another result of a command.
func (c *Conn) forgetResult(ctx context.Context, d *DeadLetter) error {
	stream, err := c.stores.Find(ctx, wire.ResultStream(c.ns, d.Service))
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(c.subjects.Result(d.Service, d.ID, "*")))
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return storeError(fmt.Errorf("the result of command %s of %s cannot be removed: %w", d.ID, d.Service, err))
	}
	return nil
}

func (c *Conn) storeAgain(ctx context.Context, d *DeadLetter, h nats.Header) error {
	deadline, _ := ctx.Deadline()
	stream := &openStream{conn: c} // which is not made for this
	slot := c.mux.acquire()
	defer c.mux.release(slot)
	slot.payload = append(slot.payload[:0], d.Data...)
	_, err := stream.store(ctx, slot, &storing{subject: &d.Subject, header: h, deadline: deadline, again: true})
	if err != nil {
		return err
	}
	return nil
}

// DiscardDeadLetter deletes a dead letter. It is no error if it is gone.
func (c *Conn) DiscardDeadLetter(ctx context.Context, d *DeadLetter) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	stream, err := c.stores.Find(ctx, wire.DeadStream(c.ns, d.Service))
	if err == nil {
		err = stream.DeleteMsg(ctx, d.Sequence)
	}
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || noSuchMessage(err) {
		return nil
	}
	return storeError(fmt.Errorf("dead letter %d of %s cannot be deleted: %w", d.Sequence, d.Service, err))
}

// noSuchMessage is JetStream's answer to deleting what is not there.
func noSuchMessage(err error) bool {
	// nats.go does not wrap the error.
	return strings.Contains(err.Error(), "no message found") || strings.Contains(err.Error(), "not found")
}

const defaultStoreTimeout = 5 * time.Second

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultStoreTimeout)
}
