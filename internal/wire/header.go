package wire

import "strings"

// NATS tells names of headers in different cases apart. HTTP does not, so gateways
// and clients in other languages send Content-Type as content-type. The transport's
// headers of a call are therefore found in any case.

// HeaderValue returns the first value of a header of the transport, or "". The exact
// name wins, and costs no search.
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

// maxHeaderText bounds a text in a header.
const maxHeaderText = 1 << 10

// HeaderText makes one line of at most 1 KB of an error's text.
func HeaderText(s string) string {
	b := []byte(s[:min(len(s), maxHeaderText)])
	for i := range b {
		if b[i] < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}

// HasPrefixFold is strings.HasPrefix for keys, whose case does not matter.
func HasPrefixFold(key, prefix string) bool {
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}
