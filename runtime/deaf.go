package aegis

import "log/slog"

// listenPart says whether the server hears all that it has subscribed to.
func (s *Server) listenPart() *part {
	return s.parts.named("listening", func() *slog.Logger { return s.logger })
}

// checkHearing is called once a second.
func (s *Server) checkHearing() {
	switch err := s.conn.bus.Deaf(); {
	case err != nil && s.State() == StateRunning:
		s.listenPart().fails(err)
	case err == nil:
		s.listenPart().works()
	}
}
