package aegis

import "github.com/aegisrpc/aegis/runtime/internal/status"

// quote quotes a text of a user, or from the wire, for the text of an error.
func quote(s string) string { return status.Quote(s) }
