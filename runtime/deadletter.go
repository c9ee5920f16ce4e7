package aegis

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// deadLetters is where events and commands go that nobody could handle.
type deadLetters struct {
	service string
	stream  openStream
}

func (d *deadLetters) init(conn *Conn, service string, replicas int, policy stores.Policy) {
	d.service = service
	d.stream.conn, d.stream.config = conn, conn.deadStream(service, replicas)
	d.stream.policy = policy
}

type deadLetter struct {
	method, id string
	consumer   string // whose it was; "" for a command
	subject    string
	sequence   uint64
	reason     string
	attempts   int
	header     nats.Header
	data       []byte
}

const deadTimeout = 10 * time.Second

// add stores a dead letter. Adding it a second time does nothing.
func (d *deadLetters) add(ctx context.Context, l *deadLetter) error {
	deadline := time.Now().Add(deadTimeout)
	if err := d.stream.ensureWithin(ctx, deadline); err != nil {
		return err
	}
	h := make(nats.Header, len(l.header)+6)
	for key, values := range l.header {
		if !hasPrefixFold(key, "nats-") && !hasPrefixFold(key, "aegis-dead-") && key != wire.HeaderOnly {
			h[key] = values
		}
	}
	h[wire.HeaderDeadReason] = []string{headerText(l.reason)}
	h[wire.HeaderDeadAttempts] = []string{strconv.Itoa(l.attempts)}
	h[wire.HeaderDeadSubject] = []string{l.subject}
	h[wire.HeaderDeadSequence] = []string{uitoa(l.sequence)}
	if l.consumer != "" {
		h[wire.HeaderDeadConsumer] = []string{l.consumer}
	}
	h[wire.HeaderMessageID] = []string{l.method + "." + l.id + "." + l.consumer + "." + uitoa(l.sequence)}
	subject := d.stream.conn.subjects.Dead(d.service, l.method, l.id)
	slot := d.stream.conn.mux.acquire()
	defer d.stream.conn.mux.release(slot)
	slot.payload = append(slot.payload[:0], l.data...)
	_, err := d.stream.store(ctx, slot, &storing{subject: &subject, header: h, deadline: deadline, again: true})
	if err != nil {
		return err
	}
	return nil
}

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }
