package aegis

import "github.com/aegisrpc/aegis/runtime/internal/inside"

// Package aegistest needs more of a server than users do.
var _ = inside.ProvideServer(func(srv any) inside.Server {
	s := srv.(*Server) //nolint:forcetypeassert // that package passes nothing else
	return inside.Server{Kill: s.kill, Elector: s.electorOptions(), Elections: s.elections()}
})

// elections returns the elections that the server stands in; none if it never stands.
func (s *Server) elections() (all []inside.Election) {
	if s.conn.standing.reserved {
		return nil
	}
	for _, service := range s.services {
		for group := range service.groups() {
			all = append(all, inside.Election{Service: service.desc.Name, Group: group, Config: service.election})
		}
	}
	return all
}

// kill does to a running server what the end of its process would: NATS closes the
// connection, so that nothing more is said, and the handlers' contexts end.
func (s *Server) kill() {
	s.conn.nc.Close()
	if s.conn.memory().Memory != nil {
		s.cancelBase()
		return
	}
	s.expire()
}
