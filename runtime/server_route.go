package aegis

import (
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
)

// route is where the requests on one subject go.
type route struct {
	method *serverMethod
	lead   *leadership // nil unless the method is single active
	term   *term       // of a subject that belongs to one term
	named  bool        // the subject does not say the term, so the reply does
	all    bool        // the subject is everybody's, so the reply says whose it is
}

// activeTerm is the term in which a request may be handled now, or nil.
func (r *route) activeTerm(now election.Instant) *term {
	t := r.term
	if t == nil {
		t = r.lead.Current()
	}
	if t == nil || !t.Lease.MayAct(now) {
		return nil
	}
	return t
}

func notActive(instance string, l *leadership) *Error {
	return refusal(CodeUnavailable, ReasonNotActive, "%s does not lead %s, group %s", instance, l.Service, l.Group)
}

// addStaticRoutes adds what does not change while the server runs.
func (s *Server) addStaticRoutes() {
	table := make(map[string]route)
	for _, service := range s.services {
		name := service.spec.Name
		for _, m := range service.methods {
			if !m.served || m.method.Pattern == spec.Command {
				continue
			}
			r := route{method: m}
			switch m.method.Pattern {
			case spec.SingleActive:
				r.lead, r.named = s.leadership(service, m.method.Group), true
			case spec.Broadcast:
				table[s.conn.subjects.All(name, m.spec.Method)] = route{method: m, all: true}
			default:
				table[s.conn.subjects.Call(name, m.spec.Method)] = r
			}
			table[s.conn.subjects.Instance(s.cfg.instance, name, m.spec.Method)] = r
		}
	}
	s.routes.Add(table)
}
