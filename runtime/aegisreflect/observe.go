package aegisreflect

import (
	"context"
	"errors"
	"io"
	"iter"
	"mime"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
)

// Event is an event that an Observer has read.
type Event struct {
	// Message is the event; nil if Err says why it cannot be read. Data are its bytes.
	Message *dynamicpb.Message
	Err     error
	Data    []byte
	// Header is the metadata of the event.
	Header aegis.Header
	// Sequence is the sequence of a durable event in its stream, 0 for core events. To go on
	// behind the event, observe from aegis.StartSequence(Sequence+1).
	Sequence uint64
	// Time is when a durable event was stored, by the NATS server's clock; of a core event
	// when it was received.
	Time time.Time
}

// Observe reads the events of a method without taking part: no group has an event less, no
// event is acknowledged, and NATS keeps nothing for the Observer once it is closed, or a
// minute after its process is gone. It returns when all events from that position on are
// sure to come. Core events have no other position than aegis.StartNew.
//
// Durable events come all, in the order of the stream, over any outage. Core events that are
// published during an outage are lost. The Observer ends with ctx, or with its Close. The
// code of the error is CodeNotFound if the stream of durable events does not exist, as
// nobody has published or subscribed yet, and CodePermissionDenied if NATS does not let this
// user read.
func (m *Method) Observe(ctx context.Context, from aegis.Position) (*Observer, error) {
	if err := m.is(kindEvent); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	o := &Observer{ctx: ctx, cancel: cancel, method: m}
	var err error
	if m.Durable() {
		o.source, err = newStoredSource(ctx, m, from)
	} else {
		o.source, err = newCoreSource(ctx, m, from)
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	context.AfterFunc(ctx, o.source.close)
	return o, nil
}

// Observer reads the events of a method. Recv and All may be called by one goroutine at a
// time, Close by any.
type Observer struct {
	ctx    context.Context //nolint:containedctx // it ends with Close, or with the context of Observe
	cancel context.CancelCauseFunc
	method *Method
	source source
}

// source is where events come from.
type source interface {
	// next waits for the next event, or until the context of the Observer ends.
	next(ctx context.Context) (*Event, error)
	// close gives up what NATS keeps. Further calls do nothing.
	close()
}

// Recv waits for the next event. The error is io.EOF after Close, and an *aegis.Error else:
// that of the context of Observe; CodeDataLoss if core events came faster than they were
// read, so that some were dropped, after which Recv goes on; CodeNotFound if the stream of
// durable events is gone. It wraps aegis.ErrConnClosed if the connection is closed.
func (o *Observer) Recv() (*Event, error) {
	event, err := o.source.next(o.ctx)
	switch {
	case o.ctx.Err() == nil:
		return event, err
	case errors.Is(context.Cause(o.ctx), io.EOF):
		return nil, io.EOF
	default:
		return nil, aegis.Errorf(aegis.CodeOf(o.ctx.Err()), "the events of %s: %w", o.method.FullName(), o.ctx.Err())
	}
}

// All returns the events that follow. The loop ends after an error, and without one after
// Close.
func (o *Observer) All() iter.Seq2[*Event, error] { return all(o.Recv) }

// Close ends the reading, and a Recv that waits in another goroutine. It waits for up to 2 s
// until NATS keeps nothing more for the Observer. Further calls do nothing.
func (o *Observer) Close() {
	o.cancel(io.EOF)
	o.source.close()
}

// event makes an event of a message.
func (m *Method) event(header nats.Header, data []byte) *Event {
	e := &Event{Data: data, Header: aegis.Header{}}
	if h, why := metadata.Decode(header); why == nil && h != nil {
		e.Header = h
	}
	e.Message, e.Err = m.readEvent(header, data)
	if e.Err != nil {
		e.Message = nil
	}
	return e
}

func (m *Method) readEvent(header nats.Header, data []byte) (*dynamicpb.Message, error) {
	kind, _, _ := mime.ParseMediaType(header.Get(wire.HeaderContentType)) // "" is protobuf, as all else is
	if !strings.EqualFold(kind, wire.ContentTypeJSON) {
		return m.DecodeRequest(data)
	}
	msg := m.NewRequest()
	if len(data) == 0 {
		return msg, nil
	}
	if err := m.service.types.lenient().Unmarshal(data, msg); err != nil {
		return nil, aegis.Errorf(aegis.CodeDataLoss, "the JSON is no valid %s: %w", m.input().FullName(), err)
	}
	return msg, nil
}
