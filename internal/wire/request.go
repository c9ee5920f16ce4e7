package wire

import (
	"mime"
	"strings"
)

// requestHeaders are the transport's headers of a request.
var requestHeaders = [...]string{HeaderContentType, HeaderTimeout, HeaderAttempt, HeaderChunked, HeaderWindow}

// IsRequestHeader reports whether key is exactly the name of one of the transport's
// headers of a request.
func IsRequestHeader(key string) bool {
	switch key {
	case HeaderContentType, HeaderTimeout, HeaderAttempt, HeaderChunked, HeaderWindow:
		return true
	default:
		return false
	}
}

// RenameRequestHeaders gives the transport's headers of a request, which may come in
// any case, their exact names.
func RenameRequestHeaders(h map[string][]string) {
	for _, name := range requestHeaders {
		if value := HeaderValue(h, name); value != "" {
			h[name] = []string{value}
		}
	}
}

// ParseContentType reports whether a request of this content type is JSON, and whether
// a server can read it. JSON is always UTF-8, so that is the one charset.
func ParseContentType(value string) (json, ok bool) {
	switch value {
	case "", ContentTypeProtobuf:
		return false, true
	case ContentTypeJSON:
		return true, true
	}
	media, params, err := mime.ParseMediaType(value)
	json = media == ContentTypeJSON
	charset, given := params["charset"]
	ok = err == nil && (json || media == ContentTypeProtobuf) && (!given || strings.EqualFold(charset, "utf-8"))
	return json, ok
}

// WantsJSON reports whether a request that is refused unread is to be answered with
// JSON.
func WantsJSON(h map[string][]string) bool {
	json, _ := ParseContentType(HeaderValue(h, HeaderContentType))
	return json
}
