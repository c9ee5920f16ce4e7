// Package inside is what a connection shows to the packages of Aegis that stand beside
// package aegis, and to no others.
package inside

import (
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Conn is the inside of a connection. It is safe for concurrent use.
type Conn struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Layout stores.Layout // of the connection's namespace
	// Error returns the error that users get for a status; nil for nil.
	Error func(*status.Status) error
}
