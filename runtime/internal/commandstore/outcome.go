package commandstore

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Outcome is how a command has ended: its response, or why there is none.
type Outcome struct {
	header  nats.Header // of the failure, or of the response; nil without any
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

// Failure is the outcome of a command that has no response, in a state such as
// wire.StateFailed. attempt is the number of its last attempt, 0 for none. json says that
// the command was JSON, and so the body is.
func Failure(state string, why *status.Status, attempt int, json bool) *Outcome {
	o := &Outcome{header: make(nats.Header, 4)}
	o.payload = why.Encode(o.header, json)
	switch {
	case json && len(o.payload) == 0: // this program lacks the type of a detail; the headers have the rest
		o.payload = why.Encode(o.header, false)
	case json:
		o.header[wire.HeaderContentType] = []string{wire.ContentTypeJSON}
	}
	o.mark(state, attempt)
	return o
}

// Success is the outcome of a command that has a response, with the header of that, nil
// for none: its metadata, and its content type where that is not protobuf.
func Success(response []byte, header nats.Header, attempt int) *Outcome {
	o := &Outcome{header: header, payload: response}
	o.mark(wire.StateSucceeded, attempt)
	return o
}

func (o *Outcome) mark(state string, attempt int) {
	o.values[outcomeState] = state
	if attempt > 0 {
		o.values[outcomeAttempt] = strconv.Itoa(attempt)
	}
}

// of says which of the commands with its id the outcome is of, by that command's
// wire.HeaderSend, and for how long it is kept.
func (o *Outcome) of(send, ttl string) { o.values[outcomeSend], o.values[outcomeTTL] = send, ttl }

// fill adds the headers with which the outcome is stored.
func (o *Outcome) fill(h nats.Header) {
	maps.Copy(h, o.header)
	for i, key := range outcomeHeaders {
		if o.values[i] != "" {
			h[key] = o.values[i : i+1 : i+1]
		}
	}
	h[wire.HeaderExpectedLast] = expectNone
}

// expectNone has JetStream refuse a message where its subject has one: a command has one
// outcome, also where two workers have worked it.
var expectNone = []string{"0"}

// Outcome returns how a command has ended; nil if it has not.
func (r *Results) Outcome(ctx context.Context, id string) (*stores.Stored, *status.Status) {
	return r.Last(ctx, id, wire.ResultResult)
}

// PutOutcome stores how a command has ended, unless an outcome is stored already. It
// tells the outcome that is stored, and returns the state in that. send is the command's
// wire.HeaderSend, and ttl says how long the outcome is kept.
//
// That the command has ended already is believed only when that outcome is read: what
// JetStream refuses it may have refused because of an earlier copy of this very
// outcome, which is on its way and may yet be lost.
func (r *Results) PutOutcome(ctx context.Context, id, send, ttl string, o *Outcome, deadline time.Time) (state string, why *status.Status) {
	o.of(send, ttl)
	subject := r.Subjects.Result(r.Service, id, wire.ResultResult)
	slot := r.Bus.Acquire()
	defer r.Bus.Release(slot)
	header := slot.Headers()
	o.fill(header)
	slot.Payload = append(slot.Payload[:0], o.payload...)
	for attempt := 1; ; attempt++ {
		_, why := r.Stream.Store(ctx, slot, &stores.Storing{Subject: &subject, Header: header, Deadline: deadline, Again: true})
		if why == nil {
			r.TellOutcome(id, header, o.payload)
			return o.values[outcomeState], nil
		}
		if !jserror.WrongLastSequence(why.Cause) {
			return "", why
		}
		reading, cancel := context.WithDeadline(ctx, deadline)
		msg, unread := r.Outcome(reading, id)
		cancel()
		switch {
		case unread != nil:
			return "", unread
		case msg != nil:
			r.TellOutcome(id, msg.Header, msg.Data)
			return msg.Header.Get(wire.HeaderState), nil
		case !bus.Sleep(ctx, bus.Pause(attempt), deadline):
			return "", why
		}
	}
}

// TellOutcome publishes an outcome that is stored with this header. It removes from the
// header what only JetStream reads.
func (r *Results) TellOutcome(id string, header nats.Header, payload []byte) {
	delete(header, wire.HeaderTTL)
	delete(header, wire.HeaderExpectedLast)
	r.tell(id, wire.ResultResult, header, payload)
}
