package aegis

import (
	"log/slog"

	"github.com/aegisrpc/aegis/runtime/internal/parts"
)

// listenPart says whether the server hears all that it has subscribed to.
func (s *Server) listenPart() *parts.Part {
	return s.parts.Shared("listening", func() *slog.Logger { return s.logger })
}

// checkHearing is called once a second.
func (s *Server) checkHearing() {
	switch err := s.conn.bus.Deaf(); {
	case err != nil && s.State() == StateRunning:
		s.listenPart().Fails(err)
	case err == nil:
		s.listenPart().Works()
	}
}
