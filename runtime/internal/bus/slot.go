package bus

import (
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Slot is the place of one request at a time, with all that it needs, so that a
// request allocates next to nothing. It belongs to whoever has acquired it, and is
// not safe for concurrent use but for Give and StoredBy.
type Slot struct {
	// Payload, Message and Timeout are scratch for the request.
	Payload []byte
	Message nats.Msg
	Timeout TimeoutHeader
	// Reply is the subject to which the reply goes, where that is not the slot's own.
	Reply string
	// Kept is what a user leaves for the next one, to be made once for each slot.
	Kept any

	id         uint64
	generation uint64
	// waiting is the generation whose reply is awaited, 0 when none is. Whoever
	// swaps it to 0 decides: the mux, which then delivers, or the request, which
	// then leaves.
	waiting atomic.Uint64
	replies chan *nats.Msg // of one, and empty whenever waiting is not 0
	failure *status.Status // why nil was delivered
	// target is the subject that the request was sent to.
	target atomic.Pointer[string]
	// storedBy is nil where JetStream's answers are replies. Of a call it is the name
	// of the stream that has answered, and the mux's nobody so far.
	storedBy atomic.Pointer[string]
	expiry   expiry
	reply    []byte      // scratch for the reply subject
	header   nats.Header // scratch for the headers of what is stored; see Headers
}

func newSlot(id uint64) *Slot {
	slot := &Slot{id: id, replies: make(chan *nats.Msg, 1)}
	slot.expiry.init(slot.expire)
	return slot
}

// Headers returns a map without headers to be filled for the next request.
func (slot *Slot) Headers() nats.Header {
	if slot.header == nil {
		slot.header = make(nats.Header, 4)
	}
	clear(slot.header)
	return slot.header
}

// Give hands over a reply that has come to another subject than the slot's own. It
// reports whether one was awaited.
func (slot *Slot) Give(msg *nats.Msg) bool {
	generation := slot.waiting.Load()
	if generation == 0 || !slot.waiting.CompareAndSwap(generation, 0) {
		return false
	}
	slot.replies <- msg
	return true
}

// StoredBy notes the name of the stream that stores the request.
func (slot *Slot) StoredBy(stream string) { slot.storedBy.Store(&stream) }

// Auditor is the name of the stream that stores the request, if one has said so.
func (slot *Slot) Auditor() string {
	if stream := slot.storedBy.Load(); stream != nil {
		return *stream
	}
	return ""
}

// abandon ends a generation for which the request waits no longer. If something is
// just being delivered, it takes that: ok is true then.
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
