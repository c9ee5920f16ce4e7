package aegis

import (
	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

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
				slot.StoredBy(by)
			}
		}
	}
	return true
}
