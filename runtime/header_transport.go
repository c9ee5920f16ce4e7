package aegis

import (
	"mime"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// NATS tells names of headers in different cases apart. HTTP does not, so gateways
// and clients in other languages send Content-Type as content-type. The transport's
// headers of a call are therefore found in any case; the exact name wins, and costs
// no search.

// requestHeaders are the transport's headers of a request.
var requestHeaders = [...]string{
	wire.HeaderContentType, wire.HeaderTimeout, wire.HeaderAttempt, wire.HeaderChunked, wire.HeaderWindow,
}

// isRequestHeader reports whether key is exactly one of requestHeaders.
func isRequestHeader(key string) bool {
	switch key {
	case wire.HeaderContentType, wire.HeaderTimeout, wire.HeaderAttempt, wire.HeaderChunked, wire.HeaderWindow:
		return true
	default:
		return false
	}
}

// renameRequestHeaders gives the transport's headers of a request their exact names.
func renameRequestHeaders(h nats.Header) {
	for _, name := range requestHeaders {
		if value := wire.HeaderValue(h, name); value != "" {
			h[name] = []string{value}
		}
	}
}

// readContentType reports whether a request of this content type is JSON, and whether
// a server can read it. JSON is always UTF-8, so that is the one charset.
func readContentType(value string) (json, ok bool) {
	switch value {
	case "", wire.ContentTypeProtobuf:
		return false, true
	case wire.ContentTypeJSON:
		return true, true
	}
	media, params, err := mime.ParseMediaType(value)
	json = media == wire.ContentTypeJSON
	charset, given := params["charset"]
	ok = err == nil && (json || media == wire.ContentTypeProtobuf) && (!given || strings.EqualFold(charset, "utf-8"))
	return json, ok
}

// wantsJSON reports whether a request that is refused unread is to be answered with
// JSON.
func wantsJSON(h nats.Header) bool {
	json, _ := readContentType(wire.HeaderValue(h, wire.HeaderContentType))
	return json
}
