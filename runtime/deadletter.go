package aegis

import (
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// DeadLetter is an event or a command that no handler could handle.
type DeadLetter struct {
	// Service and Method are those of the event or the command.
	Service, Method string
	// Sequence identifies the letter among the dead letters of the service.
	Sequence uint64
	// Time is when the message was given up, by the NATS server's clock.
	Time time.Time
	// Sent is when the message was stored where it was published, by the NATS server's clock;
	// zero if that is not known.
	Sent time.Time
	// Reason is the last error, and Attempts how many attempts counted.
	Reason   string
	Attempts int
	// ID is the id of a command, and "" for an event.
	ID string
	// Consumer names the group or the instance that gave the event up: "g-", the group
	// and the method, or "i-", the instance and the method. "" for a command.
	Consumer string
	// Subject is the subject on which the message was published, and Origin the
	// sequence of the message in the stream of that subject.
	Subject string
	Origin  uint64
	// Header is the metadata of the message.
	Header Header
	// ContentType is that of Data: "" is protobuf, and "application/json" JSON.
	ContentType string
	// Data is the message, as it was published.
	Data []byte
	// Omitted is how many bytes of data were left out, as the letter would have been
	// larger than NATS takes. Such a letter cannot be put back.
	Omitted int

	stored *work.StoredLetter // the letter as it was read
}

// Unmarshal decodes the message into m, by its content type.
func (d *DeadLetter) Unmarshal(m proto.Message) error {
	json, ok := wire.ParseContentType(d.ContentType)
	if !ok {
		return fmt.Errorf("aegis: dead letter %d of %s.%s: the content type %q is neither protobuf nor JSON", d.Sequence, d.Service, d.Method, d.ContentType)
	}
	if err := body.Unmarshal(d.Data, json, m); err != nil {
		return fmt.Errorf("aegis: dead letter %d of %s.%s: %w", d.Sequence, d.Service, d.Method, err)
	}
	return nil
}

// DeadLetters returns the dead letters of a service, by its full name, the oldest
// first. The loop ends after an error; its code is CodeInvalidArgument for a name that
// no service can have. A misspelled service has no letters: take the name from
// the generated constant, such as orderv1aegis.OrderServiceName. The user needs the
// permission to read the stream of the dead letters, see docs/protocol.md.
func (c *Conn) DeadLetters(ctx context.Context, service string) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		if err := checkService(service); err != nil {
			yield(nil, err)
			return
		}
		for next := uint64(1); ; {
			letter, why := c.deadLetters().Next(ctx, service, next)
			switch {
			case why != nil:
				yield(nil, outward(why))
				return
			case letter == nil, !yield(newDeadLetter(letter), nil):
				return
			}
			next = letter.Sequence + 1
		}
	}
}

// DeadLetter returns one of the dead letters of a service. The code of the error is
// CodeNotFound if there is no letter with this sequence.
func (c *Conn) DeadLetter(ctx context.Context, service string, sequence uint64) (*DeadLetter, error) {
	if err := checkService(service); err != nil {
		return nil, err
	}
	letter, why := c.deadLetters().Letter(ctx, service, sequence)
	switch {
	case why != nil:
		return nil, outward(why)
	case letter == nil:
		return nil, Errorf(CodeNotFound, "%s has no dead letter %d", service, sequence)
	}
	return newDeadLetter(letter), nil
}

// PutBack publishes a dead letter again where its message was published, with all
// attempts to come, and takes it out of the dead letters. An event goes to the group or
// the instance that gave it up and to no other; it comes after the events that were
// published meanwhile, also those of its key. A command loses the result that it has
// failed, and its expiry. Putting a letter back twice puts it back once; it is no error
// if the letter is gone, because it was put back or discarded.
//
// The code of the error is CodeFailedPrecondition if the command has ended otherwise
// since, if another command with its key waits or has a result, or if the letter has no
// data (see DeadLetter.Omitted). After any other error call PutBack again.
func (c *Conn) PutBack(ctx context.Context, d *DeadLetter) error {
	if err := checkService(d.Service); err != nil {
		return err
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return errorOrNone(outward(c.deadLetters().PutBack(ctx, d.letter())))
}

// DiscardDeadLetter deletes a dead letter. It is no error if the letter is gone.
func (c *Conn) DiscardDeadLetter(ctx context.Context, d *DeadLetter) error {
	if err := checkService(d.Service); err != nil {
		return err
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return errorOrNone(outward(c.deadLetters().Discard(ctx, d.letter())))
}

func (c *Conn) deadLetters() *work.DeadLetterOffice {
	return &work.DeadLetterOffice{Bus: c.bus, Stores: c.stores, Layout: c.layout()}
}

func newDeadLetter(l *work.StoredLetter) *DeadLetter {
	header, err := decodeHeader(l.Header)
	if err != nil {
		header = Header{} // the message is dead for other reasons too
	}
	return &DeadLetter{
		Service: l.Service, Method: l.Method, Sequence: l.Sequence, Time: l.Time, Sent: l.Sent,
		Reason: l.Reason, Attempts: l.Attempts, ID: l.ID, Consumer: l.Consumer,
		Subject: l.Subject, Origin: l.Origin, Header: header, Data: l.Data, ContentType: wire.HeaderValue(l.Header, wire.HeaderContentType), Omitted: l.Omitted,
		stored: l,
	}
}

// letter returns the letter as it was read, with the changes that the program has made
// since, such as another consumer.
func (d *DeadLetter) letter() *work.StoredLetter {
	l := &work.StoredLetter{}
	if d.stored != nil {
		*l = *d.stored
	}
	l.Service, l.Method, l.Sequence, l.ID, l.Consumer = d.Service, d.Method, d.Sequence, d.ID, d.Consumer
	l.Subject, l.Origin, l.Data, l.Omitted = d.Subject, d.Origin, d.Data, d.Omitted
	if d.ContentType != wire.HeaderValue(l.Header, wire.HeaderContentType) {
		l.Header = wire.WithContentType(l.Header, d.ContentType)
	}
	return l
}

// withDefaultTimeout gives a context without a deadline one.
func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, stores.DefaultTimeout)
}
