package work

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// DeadLetters is the stream of the events or the commands of a service that no handler
// could handle. It is safe for concurrent use.
type DeadLetters struct {
	Bus      *bus.Bus
	Stores   *stores.Stores
	Subjects wire.Subjects
	Service  string
	Stream   stores.Stream
}

// Letter is one of them.
type Letter struct {
	Method, ID string
	Consumer   string // whose it was; "" for a command
	Subject    string
	Sequence   uint64    // in the stream that it comes from
	Stored     time.Time // when it was stored there
	Reason     string
	Attempts   int
	Header     nats.Header
	Data       []byte
}

// AddTimeout is how long one attempt to add a letter may take.
const AddTimeout = 10 * time.Second

// Add stores a letter, and returns its sequence. Adding it a second time
// does nothing. A letter that is larger than NATS takes, as it says more than the
// message did, loses first its long reason, then its metadata, and in the end its
// data.
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

// How much of a letter is stored.
const (
	letterWhole = iota
	letterWithShortReason
	letterWithoutMetadata
	letterWithoutData
)

const shortReason = 64

func (l *Letter) payload(size int) []byte {
	if size == letterWithoutData {
		return nil
	}
	return l.Data
}

func (l *Letter) headerOf(size int) nats.Header {
	h := make(nats.Header, len(l.Header)+7)
	for key, values := range l.Header {
		own := key == wire.HeaderExpires || key == wire.HeaderSend
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
	if size == letterWithoutData {
		h[wire.HeaderDeadOmitted] = []string{strconv.Itoa(len(l.Data))}
	}
	// A stream that is made anew counts anew: by their sequence alone the letters of
	// the new one would be taken for those of the old one.
	h[wire.HeaderMessageID] = []string{l.Method + "." + l.ID + "." + l.Consumer + "." + strconv.FormatInt(l.Stored.UnixNano(), 10) + "." + strconv.FormatUint(l.Sequence, 10)}
	return h
}

// Remove deletes a letter that should not be there; if it fails, it stays.
func (d *DeadLetters) Remove(ctx context.Context, sequence uint64) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	if stream, err := d.Stores.Find(ctx, d.Stream.Want.Name); err == nil {
		_ = d.Stores.Delete(ctx, stream, sequence)
	}
}
