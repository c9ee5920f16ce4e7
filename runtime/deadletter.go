package aegis

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// deadLetters is where events and commands go that nobody could handle.
type deadLetters struct {
	service string
	stream  openStream
}

func (d *deadLetters) init(conn *Conn, service string, storage *Storage, proto *spec.Storage, policy stores.Policy) {
	d.service = service
	d.stream = conn.openStream(conn.deadStream(service, storage, proto), policy)
}

type deadLetter struct {
	method, id string
	consumer   string // whose it was; "" for a command
	subject    string
	sequence   uint64    // in the stream that it comes from
	stored     time.Time // when it was stored there
	reason     string
	why        error // the same for the log, which has what the redactor keeps back
	attempts   int
	header     nats.Header
	data       []byte
}

const deadTimeout = 10 * time.Second

// add stores a dead letter, and returns its sequence. Adding it a second time
// does nothing. A letter that is larger than NATS takes, as it says more than the
// message did, loses first its long reason, then its metadata, and in the end its
// data.
func (d *deadLetters) add(ctx context.Context, l *deadLetter) (uint64, *Error) {
	deadline := time.Now().Add(deadTimeout)
	if err := d.stream.ensureWithin(ctx, deadline); err != nil {
		return 0, err
	}
	subject := d.stream.conn.subjects.Dead(d.service, l.method, l.id)
	slot := d.stream.conn.bus.Acquire()
	defer d.stream.conn.bus.Release(slot)
	for size := letterWhole; ; size++ {
		slot.Payload = append(slot.Payload[:0], l.payload(size)...)
		ack, err := d.stream.store(ctx, slot, &storing{
			Subject: &subject, Header: l.headerOf(size), Deadline: deadline, Again: true, Window: d.stream.Window(),
		})
		switch {
		case err == nil:
			return ack.Sequence, nil
		case err.Reason() != ReasonTooLarge || size == letterWithoutData:
			return 0, err
		}
	}
}

// How much of a letter is stored.
const (
	letterWhole = iota
	letterWithShortReason
	letterWithoutMetadata
	letterWithoutData
)

const shortReason = 64

func (l *deadLetter) payload(size int) []byte {
	if size == letterWithoutData {
		return nil
	}
	return l.data
}

func (l *deadLetter) headerOf(size int) nats.Header {
	h := make(nats.Header, len(l.header)+7)
	for key, values := range l.header {
		own := key == wire.HeaderExpires || key == wire.HeaderSend
		if (size < letterWithoutMetadata || own) && !hasPrefixFold(key, "nats-") && !hasPrefixFold(key, "aegis-dead-") && key != wire.HeaderOnly {
			h[key] = values
		}
	}
	reason := wire.HeaderText(l.reason)
	if size >= letterWithShortReason {
		reason = reason[:min(len(reason), shortReason)]
	}
	h[wire.HeaderDeadReason] = []string{reason}
	h[wire.HeaderDeadAttempts] = []string{strconv.Itoa(l.attempts)}
	h[wire.HeaderDeadSubject] = []string{l.subject}
	h[wire.HeaderDeadSequence] = []string{uitoa(l.sequence)}
	if l.consumer != "" {
		h[wire.HeaderDeadConsumer] = []string{l.consumer}
	}
	if size == letterWithoutData {
		h[wire.HeaderDeadOmitted] = []string{strconv.Itoa(len(l.data))}
	}
	// A stream that is made anew counts anew: by their sequence alone the letters of
	// the new one would be taken for those of the old one.
	h[wire.HeaderMessageID] = []string{l.method + "." + l.id + "." + l.consumer + "." + itoa64(l.stored.UnixNano()) + "." + uitoa(l.sequence)}
	return h
}

// remove deletes a letter that should not be there; if it fails, it stays.
func (d *deadLetters) remove(ctx context.Context, sequence uint64) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	if stream, err := d.stream.conn.stores.Find(ctx, d.stream.Want.Name); err == nil {
		_ = d.stream.conn.deleteStored(ctx, stream, sequence)
	}
}

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

func itoa64(n int64) string { return strconv.FormatInt(n, 10) }
