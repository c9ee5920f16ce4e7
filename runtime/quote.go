package aegis

import "strconv"

// quote is strconv.Quote of at most 64 bytes: what comes from the wire may be
// long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
