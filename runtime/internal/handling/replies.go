package handling

import (
	"errors"
	"log/slog"
	"maps"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Replies sends the replies of a server. It is safe for concurrent use.
type Replies struct {
	Bus      *bus.Bus
	Logger   *slog.Logger
	Instance string // named in error replies
}

var errReplyTooLarge = status.New(status.ResourceExhausted, "the reply is too large for NATS")

// Send sends a reply. It returns a status only if the reply is too large for NATS: a
// connection that is gone is no fault of the call, and is logged.
func (r *Replies) Send(subject string, header nats.Header, payload []byte) *status.Status {
	err := r.Bus.Outbox.Send(subject, header, payload)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return errReplyTooLarge
	default:
		r.Logger.Warn("aegis: a reply cannot be sent", "err", err)
		return nil
	}
}

// Fail answers a request with a status and metadata. It leaves out what does not fit
// into a message of NATS, see status.Fit.
func (r *Replies) Fail(request *nats.Msg, st *status.Status, json bool, metadata nats.Header) {
	from := nats.Header{wire.HeaderInstance: {r.Instance}}
	reply := &nats.Msg{Subject: request.Reply}
	left := st.Fit(reply, r.Bus.NATS.MaxPayload()-headerSize(from), json, metadata)
	maps.Copy(reply.Header, from)
	if left != "" {
		r.Logger.Warn("aegis: an error was too large for a message of NATS, and was sent without all it has",
			"subject", request.Subject, "without", left, "err", st.Text())
	}
	_ = r.Send(request.Reply, reply.Header, reply.Data)
}

// headerSize is how many bytes a header takes in a message that has others.
func headerSize(h nats.Header) (size int64) {
	for key, values := range h {
		for _, v := range values {
			size += int64(len(key) + len(": ") + len(v) + len("\r\n"))
		}
	}
	return size
}

// Refusal is an error reply that is made once and sent often: in a flood, refusing is
// most of the work.
type Refusal struct {
	header nats.Header
	body   []byte
}

// Refusal makes the refusal with a small status, as protobuf.
func (r *Replies) Refusal(st *status.Status) *Refusal {
	h := make(nats.Header, 4)
	body := st.Encode(h, false)
	h[wire.HeaderInstance] = []string{r.Instance}
	return &Refusal{header: h, body: body}
}

// Refuse answers a request with a refusal.
func (r *Replies) Refuse(request *nats.Msg, with *Refusal) {
	_ = r.Send(request.Reply, with.header, with.body) // is small
}
