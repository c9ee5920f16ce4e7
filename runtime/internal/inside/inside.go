// Package inside is what a connection shows to the packages of Aegis that stand beside
// package aegis, and to no others.
package inside

import (
	"context"
	"log/slog"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Conn is the inside of a connection. It is safe for concurrent use.
type Conn struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Layout stores.Layout // of the connection's namespace
	Logger *slog.Logger
	// Error returns the error that users get for a status; nil for nil.
	Error func(*status.Status) error
	// NextLetter returns the oldest dead letter of a service from a sequence on, an
	// *aegis.DeadLetter; nil if there is none. The method and the id of the command are "" for
	// all of them.
	NextLetter func(ctx context.Context, service, method, id string, sequence uint64) (any, error)
}

// open is set by package aegis, which imports this one, and cannot be imported by it.
var open func(conn any) Conn

// Provide sets how an *aegis.Conn is opened. Package aegis calls it once, when it is
// initialised; so its own exported names are for users alone.
func Provide(f func(conn any) Conn) bool {
	open = f
	return true
}

// Of returns the inside of an *aegis.Conn.
func Of(conn any) Conn { return open(conn) }
