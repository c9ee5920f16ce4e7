package book

import (
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

const (
	// subjectBook is of accepted orders, subjectTerm of the beginnings of terms.
	subjectBook = "orders.book"
	subjectTerm = "orders.term"
	// headerTerm carries the fencing token of who wrote the message.
	headerTerm = "Order-Term"
	// headerTold carries up to which sequence OrderPlaced was published when the
	// message was written. Without it nothing was.
	headerTold = "Order-Told"
)

// record is one message of the stream.
type record struct {
	term  uint64
	told  uint64         // the last order of which OrderPlaced is known to be published
	order *orderv1.Order // nil where a term begins
}

// message is the record as it is stored.
func (r record) message() (*nats.Msg, error) {
	msg := nats.NewMsg(subjectTerm)
	msg.Header.Set(headerTerm, strconv.FormatUint(r.term, 10))
	msg.Header.Set(headerTold, strconv.FormatUint(r.told, 10))
	if r.order == nil {
		return msg, nil
	}
	var err error
	msg.Subject = subjectBook
	msg.Data, err = proto.Marshal(r.order)
	return msg, err
}

// readRecord is the reverse of message. What nobody but a leader may have
// written is checked as if anybody had.
func readRecord(msg jetstream.Msg) (record, error) {
	var r record
	var err error
	if r.term, err = strconv.ParseUint(msg.Headers().Get(headerTerm), 10, 64); err != nil {
		return r, fmt.Errorf("the header %s: %w", headerTerm, err)
	}
	if told := msg.Headers().Get(headerTold); told != "" {
		if r.told, err = strconv.ParseUint(told, 10, 64); err != nil {
			return r, fmt.Errorf("the header %s: %w", headerTold, err)
		}
	}
	if msg.Subject() == subjectTerm {
		return r, nil
	}
	r.order = &orderv1.Order{}
	if err := proto.Unmarshal(msg.Data(), r.order); err != nil {
		return r, err
	}
	if r.order.GetTerm() != r.term {
		return r, fmt.Errorf("the order %q is of term %d, and term %d wrote it", r.order.GetId(), r.order.GetTerm(), r.term)
	}
	return r, nil
}
