package aegis

import (
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
)

// route says which method serves the requests on one subject, and how.
type route struct {
	method *serverMethod
	lead   *leadership // nil unless the method is single active
	term   *term       // the term that the subject belongs to; nil if it belongs to none
	named  bool        // the reply names the term, as the subject does not
	all    bool        // the reply names the instance, as all instances listen to the subject
}

// enterTerm returns the term in which a handler may run now, or nil: this instance does
// not lead, or its lease does not allow it to act. The term counts the handler until Leave.
// A leader that rests hears itself first.
func (r *route) enterTerm(clock election.Clock) *term {
	t := r.term
	if t == nil {
		t = r.lead.Current()
	}
	if t == nil {
		return nil
	}
	t.Enter()
	if !t.MayAct(clock) {
		t.Leave(nil)
		return nil
	}
	return t
}

// notActive returns the refusal of a request that only the leader may handle.
func notActive(instance string, l *leadership) *Error {
	return refusal(CodeUnavailable, ReasonNotActive, "%s does not lead %s, group %s", instance, l.Service, l.Group)
}

// addStaticRoutes adds the routes that do not change while the server runs. Those of a
// term come and go with it.
func (s *Server) addStaticRoutes() {
	table := make(map[string]route)
	for _, service := range s.services {
		name := service.desc.Name
		for _, m := range service.methods {
			if !m.served || m.method.Pattern == spec.Command {
				continue
			}
			r := route{method: m}
			switch m.method.Pattern {
			case spec.SingleActive:
				r.lead, r.named = s.leadership(service, m.method.Group), true
			case spec.Broadcast:
				table[s.conn.subjects.All(name, m.public.Name)] = route{method: m, all: true}
			default:
				table[s.conn.subjects.Call(name, m.public.Name)] = r
			}
			table[s.conn.subjects.Instance(s.cfg.instance, name, m.public.Name)] = r
		}
	}
	s.routes.Add(table)
}
