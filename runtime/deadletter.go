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
	"github.com/aegisrpc/aegis/runtime/internal/stores"
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
	// Omitted is how many bytes of data were left out, as the letter would have been
	// larger than NATS takes. Such a letter cannot be put back.
	Omitted int

	raw     nats.Header
	created time.Time // the stream of the dead letters, whose sequence it has
}

// Unmarshal decodes the message into m.
func (d *DeadLetter) Unmarshal(m proto.Message) error {
	if err := proto.Unmarshal(d.Data, m); err != nil {
		return fmt.Errorf("aegis: dead letter %d of %s.%s: %w", d.Sequence, d.Service, d.Method, err)
	}
	return nil
}

// DeadLetters returns the dead letters of a service, by its full name, the oldest
// first. The loop ends after an error; its code is CodeInvalidArgument for what can
// be no service's name. A service that nobody knows has none: take the name from the
// generated constant, such as orderv1aegis.OrderServiceName. The user needs to read
// the stream of the dead letters, see docs/protocol.md.
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
	if err := checkService(service); err != nil {
		return nil, err
	}
	name := wire.DeadStream(c.ns, service)
	stream, err := c.stores.Find(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, errNoDeadLetter // it is made with the first one
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	asking, why := c.stores.Allowed(ctx, "DIRECT.GET."+name, "STREAM.MSG.GET."+name)
	msg, err := stream.GetMsg(asking, sequence, opts...)
	err = why(err)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, errNoDeadLetter
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("the dead letters of %s: %w", service, err))
	}
	d, failure := c.parseDeadLetter(service, msg)
	if failure != nil {
		return nil, failure
	}
	d.created = stream.CachedInfo().Created
	return d, nil
}

func (c *Conn) parseDeadLetter(service string, msg *jetstream.RawStreamMsg) (*DeadLetter, *Error) {
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
	d.Omitted, _ = strconv.Atoi(msg.Header.Get(wire.HeaderDeadOmitted))
	d.Origin, _ = strconv.ParseUint(msg.Header.Get(wire.HeaderDeadSequence), 10, 64)
	if d.Consumer == "" {
		d.ID = id
	}
	return d, nil
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, stores.DefaultTimeout)
}
