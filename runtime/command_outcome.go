package aegis

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// commandOutcome is how a command has ended.
type commandOutcome struct {
	header  nats.Header // of an error, or what the handler has set; nil without any
	payload []byte
	values  [4]string // of outcomeHeaders, "" for none
}

const (
	outcomeState = iota
	outcomeAttempt
	outcomeSend
	outcomeTTL
)

var outcomeHeaders = [...]string{
	outcomeState: wire.HeaderState, outcomeAttempt: wire.HeaderAttempt, outcomeSend: wire.HeaderSend, outcomeTTL: wire.HeaderTTL,
}

// outcomeOf makes an outcome of an error; attempt is 0 for none.
func outcomeOf(state string, err *Error, attempt int) *commandOutcome {
	o := &commandOutcome{}
	o.header, o.payload = encodeError(err, false, nil)
	o.mark(state, attempt)
	return o
}

// succeeded makes an outcome of a response.
func succeeded(res proto.Message, metadata Header, attempt int) (*commandOutcome, *Error) {
	o := &commandOutcome{}
	var err error
	if o.payload, err = proto.Marshal(res); err != nil {
		return nil, Errorf(CodeInternal, "the result cannot be marshalled: %w", err)
	}
	if len(metadata) > 0 {
		o.header = make(nats.Header, len(metadata))
		if err := metadata.encodeTo(o.header); err != nil {
			return nil, Errorf(CodeInternal, "result %s", err.Message())
		}
	}
	o.mark(wire.StateSucceeded, attempt)
	return o, nil
}

func (o *commandOutcome) mark(state string, attempt int) {
	o.values[outcomeState] = state
	if attempt > 0 {
		o.values[outcomeAttempt] = strconv.Itoa(attempt)
	}
}

// of says which of the commands with its id has ended so, and how long that is kept.
func (o *commandOutcome) of(send, ttl string) {
	o.values[outcomeSend], o.values[outcomeTTL] = send, ttl
}

// fill fills in the headers that are stored.
func (o *commandOutcome) fill(h nats.Header) {
	maps.Copy(h, o.header)
	for i, key := range outcomeHeaders {
		if o.values[i] != "" {
			h[key] = o.values[i : i+1 : i+1]
		}
	}
	h[wire.HeaderExpectedLast] = expectNone
}

// expectNone: there is one result of a command, whoever is the second to have one.
var expectNone = []string{"0"}

// store stores the outcome, unless there is one, tells those who wait, and returns
// the state of the one that is stored. That another one was there before is only
// believed when it is read: what JetStream refuses it may have refused because of
// an earlier copy of this very outcome, which is on its way and may yet be lost.
func (o *commandOutcome) store(ctx context.Context, results *openStream, service, id string, deadline time.Time) (string, *Error) {
	conn := results.conn
	subject := conn.subjects.Result(service, id, wire.ResultResult)
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	header := slot.Headers()
	o.fill(header)
	slot.Payload = append(slot.Payload[:0], o.payload...)
	for attempt := 1; ; attempt++ {
		_, err := results.store(ctx, slot, &storing{Subject: &subject, Header: header, Deadline: deadline, Again: true})
		if err == nil {
			conn.tellResult(service, id, header, o.payload)
			return o.values[outcomeState], nil
		}
		if !jserror.WrongLastSequence(err) {
			return "", err
		}
		reading, cancel := context.WithDeadline(ctx, deadline)
		msg, failure := conn.lastStored(reading, results.Want.Name, subject)
		cancel()
		switch {
		case failure != nil:
			return "", failure
		case msg != nil:
			conn.tellResult(service, id, msg.Header, msg.Data)
			return msg.Header.Get(wire.HeaderState), nil
		case !bus.Sleep(ctx, bus.Pause(attempt), deadline):
			return "", err
		}
	}
}

// tellResult tells those who wait how a command has ended, which is stored with
// these headers; those that are for JetStream are taken away.
func (c *Conn) tellResult(service, id string, header nats.Header, payload []byte) {
	delete(header, wire.HeaderTTL)
	delete(header, wire.HeaderExpectedLast)
	c.tell(service, id, wire.ResultResult, header, payload)
}

// tell tells those who wait what is stored about a command. Whoever has stored it
// does that, when JetStream has acknowledged it: nobody hears what is not stored.
// If nobody does, as the process is lost just then, it is found at the next look.
func (c *Conn) tell(service, id, what string, header nats.Header, payload []byte) {
	_ = c.bus.Outbox.Send(c.subjects.Told(service, id, what), header, payload)
}
