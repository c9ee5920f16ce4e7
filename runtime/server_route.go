package aegis

import (
	"log/slog"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
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
		t = r.lead.current.Load()
	}
	if t == nil || !t.lease.MayAct(now) {
		return nil
	}
	return t
}

func notActive(instance string, l *leadership) *Error {
	return refusal(CodeUnavailable, ReasonNotActive, "%s does not lead %s, group %s", instance, l.service.spec.Name, l.group)
}

func (s *Server) addRoutes(more map[string]route) { s.routes.Add(more) }

// removeRoutes removes the routes of a term. Its successor may have routes of its own on
// the subjects of whoever leads.
func (s *Server) removeRoutes(subjects []string, of *term) {
	s.routes.Remove(subjects, func(r route) bool { return r.term == of })
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
	s.addRoutes(table)
}

func (s *Server) leadership(service *service, group string) *leadership {
	for _, l := range s.leaderships {
		if l.service == service && l.group == group {
			return l
		}
	}
	return nil
}

// elect makes a candidate for each single active group.
func (s *Server) elect() error {
	for _, service := range s.services {
		for group, methods := range service.groups() {
			if err := s.stand(service, group, methods); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) stand(service *service, group string, methods []*serverMethod) error {
	if s.elector == nil {
		var err error
		s.elector, err = leader.New(leader.Options{
			NATS: s.conn.nc, JetStream: s.conn.stores, Namespace: s.conn.ns, Process: s.process, Instance: s.cfg.instance, Clock: s.clock,
			Bucket: s.cfg.leaderBucket.wanted(), Warn: warnOnce(func() *slog.Logger { return s.logger }),
		})
		if err != nil {
			return err
		}
	}
	l := &leadership{
		server: s, service: service, group: group, methods: methods,
		onLeading: service.onLeading, resigned: make(chan struct{}),
		part: s.parts.New("the election of the group "+group+" of "+service.spec.Name, func() *slog.Logger { return s.logger }),
	}
	l.tellGaps()
	var err error
	if l.candidate, err = s.elector.Add(service.spec.Name, group, service.election, l); err != nil {
		return err
	}
	l.part.Begins()
	s.leaderships = append(s.leaderships, l)
	return nil
}
