package wire

import "strings"

// NATS takes header names that differ in the case of letters for different ones. HTTP does
// not, so that gateways and clients in other languages send Content-Type as content-type.
// Therefore the headers of the transport are found in any case.

// HeaderValue returns the first value of a header of the transport, or "". A header with
// the very name comes first, and is found without a search.
func HeaderValue(h map[string][]string, name string) string {
	if values, ok := h[name]; ok {
		if len(values) > 0 {
			return values[0]
		}
		return ""
	}
	for key, values := range h {
		if len(values) > 0 && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

// WithContentType returns a copy of a header with another content type; "" is none.
func WithContentType(h map[string][]string, value string) map[string][]string {
	out := make(map[string][]string, len(h)+1)
	for key, values := range h {
		if !strings.EqualFold(key, HeaderContentType) {
			out[key] = values
		}
	}
	if value != "" {
		out[HeaderContentType] = []string{value}
	}
	return out
}

// maxHeaderText bounds the text of an error in a header.
const maxHeaderText = 1 << 10

// HeaderText returns the text of an error as one line of at most 1 KB.
func HeaderText(s string) string {
	b := []byte(s[:min(len(s), maxHeaderText)])
	for i := range b {
		if b[i] < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}

// HasPrefixFold is strings.HasPrefix for header names, whose case does not matter.
func HasPrefixFold(key, prefix string) bool {
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}
