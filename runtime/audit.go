package aegis

import (
	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// auditor is the name of the stream that stores the call, if one has said so.
func (slot *replySlot) auditor() string {
	if stream := slot.storedBy.Load(); stream != nil {
		return *stream
	}
	return ""
}

// stored reports whether a message is JetStream's word that a stream stores the
// request, and no reply to it. A stream may store what is sent to any subject, and
// says so to whoever has sent it.
func (m *replyMux) stored(slot *replySlot, msg *nats.Msg) bool {
	if slot.storedBy.Load() == nil || len(msg.Header) > 0 {
		return false
	}
	stream, ok := wire.StoredBy(msg.Data)
	if ok {
		slot.storedBy.CompareAndSwap(m.nobody, &stream)
	}
	return ok
}

// stored reports whether a message is JetStream's word that a stream stores what
// was sent, and neither a frame nor a sign of life. A stream that is to be opened
// remembers who stores its open.
func (h *streamHub) stored(token string, msg *nats.Msg) bool {
	by, ok := wire.StoredBy(msg.Data)
	if !ok || len(msg.Header) > 0 {
		return false
	}
	if id, isStream := wire.ParseStreamToken(token); isStream {
		if s := h.find(id); s != nil {
			if slot := s.taken.Load(); slot != nil {
				slot.storedBy.Store(&by)
			}
		}
	}
	return true
}
