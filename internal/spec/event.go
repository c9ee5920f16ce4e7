package spec

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// EventSpec has the values of an event's options.
type EventSpec struct {
	EachInstance bool   // by default each instance of a subscriber gets an event; false: one instance of a group
	Group        string // the default group of subscribers that compete; "" for the subscriber's service
	Durable      bool
	KeyField     []protoreflect.FieldDescriptor // the path from the event to the field; nil for no key
	Partitions   int                            // 1 without a key
	Redelivery   Retry                          // of a durable event whose handler fails
	AckWait      time.Duration                  // how long the handler of a durable event may give no sign of life
}

const (
	defaultPartitions   = 16
	maxPartitions       = 1024
	defaultEventAckWait = 30 * time.Second
)

func (c *checker) event(m *methodContext, at Place, opts *aegisv1.Event) {
	m.decide(Event, at)
	m.Event = &EventSpec{
		EachInstance: opts.GetBroadcast() != nil,
		Durable:      opts.GetDurable(),
		Partitions:   1,
	}
	c.unaryOnly(m, at, "an event")
	if out := m.Desc.Output().FullName(); out != "google.protobuf.Empty" {
		c.addf(at, "an event has no answer, but %s returns %s; write returns (google.protobuf.Empty), or leave the option out", m.Desc.Name(), out)
	}
	if group := opts.GetCompete().GetGroup(); group != "" {
		m.Event.Group = c.group(at.Field("compete").Field("group"), group)
	}
	c.eventKey(m, at, opts)
	if opts.GetDurable() {
		m.Event.Redelivery = c.retry(at.Field("redelivery"), opts.GetRedelivery(), defaultEventAttempts)
		m.Event.AckWait = c.duration(at.Field("ack_wait"), opts.GetAckWait(), ackWaitRange, defaultEventAckWait)
		return
	}
	if opts.GetRedelivery() != nil {
		c.addf(at.Field("redelivery"), "only durable events are delivered again; leave it out, or write durable: true")
	}
	if opts.GetAckWait() != nil {
		c.addf(at.Field("ack_wait"), "only durable events are acknowledged; leave it out, or write durable: true")
	}
}

func (c *checker) eventKey(m *methodContext, at Place, opts *aegisv1.Event) {
	if opts.GetKeyField() == "" {
		if opts.Partitions != nil {
			c.addf(at.Field("partitions"), "without a key there is nothing to partition by; leave it out, or write key_field")
		}
		return
	}
	if !opts.GetDurable() {
		c.addf(at.Field("key_field"), "only durable events are ordered by key; leave it out, or write durable: true")
	}
	m.Event.KeyField = c.fieldPath(at.Field("key_field"), opts.GetKeyField(), m.Desc.Input())
	m.Event.Partitions = defaultPartitions
	if opts.Partitions != nil {
		m.Event.Partitions = int(c.integer(at.Field("partitions"), uint64(opts.GetPartitions()), maxPartitions))
	}
}
