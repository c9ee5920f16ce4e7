package bus

import (
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Slot is the place of one request at a time, with all memory that a request needs, so
// that a request allocates next to nothing. It belongs to the goroutine that has acquired
// it; only Give and StoredBy may be called by others.
type Slot struct {
	// Payload, Message and Timeout are scratch for the request.
	Payload []byte
	Message nats.Msg
	Timeout TimeoutHeader
	// Reply is the subject to which the reply goes, where that is not the slot's own.
	Reply string
	// Kept is memory of the slot's users, made once for each slot and used again.
	Kept any

	id         uint64
	generation uint64
	// waiting is the generation whose reply is awaited, 0 when none is. The one that
	// swaps it to 0 decides what follows: the mux, which then delivers, or the request,
	// which then leaves.
	waiting atomic.Uint64
	replies chan *nats.Msg // of one, and empty whenever waiting is not 0
	failure *status.Status // why nil was sent to replies
	// target is the subject that the request was sent to.
	target atomic.Pointer[string]
	// repeat is that of the request.
	repeat atomic.Pointer[Repeat]
	// storedBy is nil where JetStream's answers are replies. For a call it is the name of
	// the stream that has answered, and the mux's nobody before one has.
	storedBy atomic.Pointer[string]
	expiry   expiry
	reply    []byte      // scratch for the reply subject
	header   nats.Header // scratch, see Headers
}

func newSlot(id uint64) *Slot {
	slot := &Slot{id: id, replies: make(chan *nats.Msg, 1)}
	slot.expiry.init(slot.expire)
	return slot
}

// Headers returns an empty header for the next request to fill.
func (slot *Slot) Headers() nats.Header {
	if slot.header == nil {
		slot.header = make(nats.Header, 4)
	}
	clear(slot.header)
	return slot.header
}

// Give hands over a reply that has come on another subject than the slot's own. It
// reports whether a request awaited one.
func (slot *Slot) Give(msg *nats.Msg) bool {
	generation := slot.waiting.Load()
	if generation == 0 || !slot.waiting.CompareAndSwap(generation, 0) {
		return false
	}
	slot.replies <- msg
	return true
}

// StoredBy notes the name of the stream that has stored the request.
func (slot *Slot) StoredBy(stream string) { slot.storedBy.Store(&stream) }

// Auditor returns the name of the stream that has stored the request, or "".
func (slot *Slot) Auditor() string {
	if stream := slot.storedBy.Load(); stream != nil {
		return *stream
	}
	return ""
}

// abandon ends the wait of a request. If a reply, or a failure, is just being
// delivered, abandon takes it, and ok is true.
func (slot *Slot) abandon() (msg *nats.Msg, ok bool) {
	if slot.waiting.CompareAndSwap(slot.generation, 0) {
		return nil, false
	}
	return <-slot.replies, true
}

// TimeoutHeader is a message whose only header is the timeout, kept to be filled again.
type TimeoutHeader struct {
	msg   nats.Msg
	value []string
}

// For returns the message with a timeout in milliseconds.
func (t *TimeoutHeader) For(millis int64) *nats.Msg {
	if t.value == nil {
		t.value = make([]string, 1)
		t.msg.Header = nats.Header{wire.HeaderTimeout: t.value}
	}
	t.value[0] = strconv.FormatInt(millis, 10)
	return &t.msg
}
