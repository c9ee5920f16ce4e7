package metadata

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Request is what the header of a request says.
type Request struct {
	Timeout time.Duration
	Attempt int
	JSON    bool                // the body, and the body of the reply
	User    map[string][]string // the user's metadata; nil without any
}

// Read reads the header of a request. A request that names no timeout has that of the
// method. On an error JSON is set as far as the header could be read.
func (r *Request) Read(msg *nats.Msg, timeout time.Duration) *status.Status {
	r.Timeout, r.Attempt = timeout, 1
	h := msg.Header
	if h == nil {
		if bus.HeaderUnreadable(msg) {
			return bus.UnreadableRequest
		}
		return nil
	}
	user, size, odd := 0, 0, false
	for key, values := range h {
		if Reserved(key) {
			odd = odd || !wire.IsRequestHeader(key)
			continue
		}
		user++
		for _, v := range values {
			size += len(key) + len(v)
		}
	}
	if odd {
		// NATS tells names of headers in different cases apart. HTTP does not, so gateways
		// and clients in other languages send Content-Type as content-type.
		wire.RenameRequestHeaders(h)
	}
	if st := CheckSize(size); st != nil {
		return st
	}
	if st := r.readTransport(h); st != nil || user == 0 {
		return st
	}
	var st *status.Status
	r.User, st = Decode(h)
	return st
}

func (r *Request) readTransport(h nats.Header) *status.Status {
	var ok bool
	if r.JSON, ok = wire.ParseContentType(h.Get(wire.HeaderContentType)); !ok {
		return unsupported(h.Get(wire.HeaderContentType))
	}
	if t := h.Get(wire.HeaderTimeout); t != "" {
		timeout, ok := wire.ParseTimeout(t)
		if !ok {
			return status.Newf(status.InvalidArgument, "%s %s is not a number of milliseconds from 1 to %d",
				wire.HeaderTimeout, status.Quote(t), wire.MaxTimeout.Milliseconds())
		}
		r.Timeout = timeout
	}
	if a := h.Get(wire.HeaderAttempt); a != "" { // the error for "" would be an allocation
		if n, err := strconv.Atoi(a); err == nil && n > 1 {
			r.Attempt = n
		}
	}
	return nil
}

// ReadContentType reports whether the body of an event or a command is JSON. The header
// may come in any case, as that of a request may.
func ReadContentType(h nats.Header) (json bool, why *status.Status) {
	if len(h) == 0 {
		return false, nil
	}
	value := wire.HeaderValue(h, wire.HeaderContentType)
	json, ok := wire.ParseContentType(value)
	if !ok {
		return json, unsupported(value)
	}
	return json, nil
}

// unsupported is the status of a message of another content type.
func unsupported(contentType string) *status.Status {
	return status.Newf(status.InvalidArgument, "Content-Type %s is not supported; use %s, or %s in UTF-8",
		status.Quote(contentType), wire.ContentTypeProtobuf, wire.ContentTypeJSON)
}
