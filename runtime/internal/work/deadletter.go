package work

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// DeadLetters writes the dead letters of a service: the events or commands that no handler
// could handle. It is safe for concurrent use.
type DeadLetters struct {
	Bus      *bus.Bus
	Stores   *stores.Stores
	Subjects wire.Subjects
	Service  string
	Stream   stores.Stream
}

// Letter is a dead letter that is to be written.
type Letter struct {
	Method, ID string
	Hash       *uint64   // of the key of an event; nil without one
	Consumer   string    // that gave the event up; "" for a command
	Subject    string    // on which the message was published
	Sequence   uint64    // of the message in its own stream
	Stored     time.Time // when the message was stored there
	Reason     string
	Attempts   int
	Header     nats.Header
	Data       []byte
}

// AddTimeout is how long one attempt to add a letter may take.
const AddTimeout = 10 * time.Second

// Add stores a letter, and returns its sequence. Adding a letter a second time does
// nothing. A letter is larger than its message, and may be larger than NATS takes: then it
// loses first its long reason, next its metadata, and in the end its data.
func (d *DeadLetters) Add(ctx context.Context, l *Letter) (uint64, *status.Status) {
	deadline := time.Now().Add(AddTimeout)
	if why := d.Stream.Ensure(ctx, deadline); why != nil {
		return 0, why
	}
	subject := d.Subjects.Dead(d.Service, l.Method, l.ID)
	slot := d.Bus.Acquire()
	defer d.Bus.Release(slot)
	for size := letterWhole; ; size++ {
		slot.Payload = append(slot.Payload[:0], l.payload(size)...)
		ack, why := d.Stream.Store(ctx, slot, &stores.Storing{
			Subject: &subject, Header: l.headerOf(size), Deadline: deadline, Again: true, Window: d.Stream.Window(),
		})
		switch {
		case why == nil:
			return ack.Sequence, nil
		case why.Reason != wire.ReasonTooLarge || size == letterWithoutData:
			return 0, why
		}
	}
}

// The sizes of a letter: how much of it is stored.
const (
	letterWhole = iota
	letterWithShortReason
	letterWithoutMetadata
	letterWithoutData
)

// shortReason is the length of a short reason, in bytes.
const shortReason = 64

func (l *Letter) payload(size int) []byte {
	if size == letterWithoutData {
		return nil
	}
	return l.Data
}

// headerOf returns the header of a letter of a size: the metadata of the message, what its
// data cannot be read without, and the headers that say why and where it died.
func (l *Letter) headerOf(size int) nats.Header {
	h := make(nats.Header, len(l.Header)+7)
	for key, values := range l.Header {
		own := key == wire.HeaderExpires || key == wire.HeaderSend || strings.EqualFold(key, wire.HeaderContentType)
		if (size < letterWithoutMetadata || own) && !wire.HasPrefixFold(key, "nats-") && !wire.HasPrefixFold(key, "aegis-dead-") && key != wire.HeaderOnly {
			h[key] = values
		}
	}
	reason := wire.HeaderText(l.Reason)
	if size >= letterWithShortReason {
		reason = reason[:min(len(reason), shortReason)]
	}
	h[wire.HeaderDeadReason] = []string{reason}
	h[wire.HeaderDeadAttempts] = []string{strconv.Itoa(l.Attempts)}
	h[wire.HeaderDeadSubject] = []string{l.Subject}
	h[wire.HeaderDeadSequence] = []string{strconv.FormatUint(l.Sequence, 10)}
	if l.Consumer != "" {
		h[wire.HeaderDeadConsumer] = []string{l.Consumer}
	}
	if l.Hash != nil {
		h[wire.HeaderDeadHash] = []string{strconv.FormatUint(*l.Hash, 10)}
	}
	if size == letterWithoutData {
		h[wire.HeaderDeadOmitted] = []string{strconv.Itoa(len(l.Data))}
	}
	// The id has the time of the message, because a stream that is made anew counts anew:
	// by sequences alone, letters of the new stream would be taken for those of the old.
	stored := strconv.FormatInt(l.Stored.UnixNano(), 10) + "." + strconv.FormatUint(l.Sequence, 10)
	h[wire.HeaderMessageID] = []string{l.Method + "." + l.ID + "." + l.Consumer + "." + stored}
	return h
}

// Remove deletes a letter that should not be there. If that fails, the letter stays.
func (d *DeadLetters) Remove(ctx context.Context, sequence uint64) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	if stream, err := d.Stores.Find(ctx, d.Stream.Want.Name); err == nil {
		_ = d.Stores.Delete(ctx, stream, sequence)
	}
}
