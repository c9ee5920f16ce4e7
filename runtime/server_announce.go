package aegis

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// announce says once that the server serves: what, as whom (its logger has the
// instance), and where.
func (s *Server) announce() {
	var attrs []any
	if len(s.services) > 0 {
		names := make([]string, len(s.services))
		for i, service := range s.services {
			names[i] = service.spec.Name
		}
		attrs = append(attrs, "services", strings.Join(names, " "))
	}
	if len(s.registrants) > 0 {
		attrs = append(attrs, "events_of", strings.Join(slices.Sorted(maps.Keys(s.registrants)), " "))
	}
	where := cmp.Or(redact(s.conn.nc.ConnectedUrl()), "away")
	s.logger.Info("aegis: serving", append(attrs, "nats", where)...)
}
