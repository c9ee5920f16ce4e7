package aegis

import (
	"context"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// PubFuture has the outcome of an event that was published with an Async method. It is
// safe for concurrent use.
type PubFuture struct{ flight stores.Flight }

// Done returns a channel that is closed when the outcome is known, at the latest after the
// service's timeout.
func (f *PubFuture) Done() <-chan struct{} { return f.flight.Done() }

// Ack waits for the outcome, or until ctx ends, which does not take the event back. The
// error is an *Error, with the codes of Publish.
func (f *PubFuture) Ack(ctx context.Context) (*PubAck, error) {
	select {
	case <-f.flight.Done():
		return f.outcome()
	default:
	}
	select {
	case <-f.flight.Done():
		return f.outcome()
	case <-ctx.Done():
		return nil, asError(ctx.Err())
	}
}

func (f *PubFuture) outcome() (*PubAck, error) {
	ack, why := f.flight.Outcome()
	return (*PubAck)(ack), errorOrNone(outward(why))
}

// defaultMaxInFlight is the default of WithMaxInFlight.
const defaultMaxInFlight = 1024

func (e *eventMethod) publishAsync(p *eventPublication, msg proto.Message, header nats.Header) *Error {
	payload, err := proto.Marshal(msg)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the event %s cannot be marshalled: %w", e.public.FullName(), err)
	}
	subject, hash := e.place(msg)
	f := &PubFuture{stores.Flight{
		Subject: *subject, Header: header, Payload: payload, Timeout: e.publisher.timeout(), Again: p.cfg.id != "", Event: e.keyed, Hash: hash,
	}}
	if why := e.publisher.async.Send(p, &f.flight, p.deadline); why != nil {
		return outward(why)
	}
	p.future = f
	return nil
}
