package inside

import (
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
)

// Server is the inside of a server, for package aegistest.
type Server struct {
	// Kill closes the NATS connection of a server that runs, and ends the contexts of all its
	// handlers. It does not wait for them.
	Kill func()
	// Elector has the options of the server's elector, and Elections the elections that the
	// server takes part in.
	Elector   leader.Options
	Elections []Election
}

// Election is the election of the leader of a group.
type Election struct {
	Service, Group string
	Config         election.Config
}

// openServer is set by package aegis, as open is.
var openServer func(srv any) Server

// ProvideServer sets how an *aegis.Server is opened. Package aegis calls it once, when it is
// initialised.
func ProvideServer(f func(srv any) Server) bool {
	openServer = f
	return true
}

// OfServer returns the inside of an *aegis.Server on which all services are registered.
func OfServer(srv any) Server { return openServer(srv) }
