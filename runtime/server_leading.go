package aegis

import (
	"cmp"
	"context"
	"iter"
	"log/slog"

	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Leading returns the terms in which this server leads now. A term counts when its
// OnLeading has returned.
func (s *Server) Leading() iter.Seq[Term] { return s.changes.terms() }

// WatchLeading returns the changes of the terms in which this server leads, until ctx ends
// or the server has stopped; the terms of now come first, as changes that began them. It
// misses no change, however slowly it is read.
func (s *Server) WatchLeading(ctx context.Context) iter.Seq[LeadershipChange] {
	return s.changes.Watch(ctx)
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

// stand makes the candidate of a group.
func (s *Server) stand(service *service, group string, methods []*serverMethod) error {
	var err error
	if s.elector == nil {
		if s.elector, err = leader.New(s.electorOptions()); err != nil {
			return err
		}
	}
	var l *leadership
	l, err = s.elector.Take(leader.Duty{
		Service: service.desc.Name, Group: group,
		Election:     service.election,
		ActWindow:    cmp.Or(service.election.Window, election.Balanced.Config().Window),
		Grace:        s.cfg.grace,
		Context:      func(i leader.Info) context.Context { return context.WithValue(s.base, termKey{}, Term(i)) },
		OnLeading:    func(ctx context.Context, i leader.Info) error { return service.onLeading(ctx, Term(i)) },
		Queue:        s.pool.Queue(),
		AddRoutes:    func(t *term) { s.routes.Add(s.termRoutes(l, t, methods)) },
		RemoveRoutes: func(t *term) { s.routes.Remove(func(r route) bool { return r.term == t }) },
		Began:        s.termBegan,
		Ended:        s.termEnded,
		Part:         s.parts.New("the election of the group "+group+" of "+service.desc.Name, func() *slog.Logger { return s.logger }),
		Stopping: func() bool {
			state := s.State()
			return state != StateRunning && state != StateStarting
		},
		Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.leaderships = append(s.leaderships, l)
	return nil
}

func (s *Server) electorOptions() leader.Options {
	return leader.Options{
		NATS: s.conn.nc, JetStream: s.conn.stores, Namespace: s.conn.ns, Process: s.process, Instance: s.cfg.instance, Clock: s.clock,
		Bucket: s.bucket(&s.cfg.leaderBucket), Warn: warnOnce(func() *slog.Logger { return s.logger }),
	}
}

// leadership returns this server's part in the election of a group, or nil.
func (s *Server) leadership(service *service, group string) *leadership {
	for _, l := range s.leaderships {
		if l.Service == service.desc.Name && l.Group == group {
			return l
		}
	}
	return nil
}

// termRoutes returns the routes of the methods that a term serves: on the subjects of the
// term itself, and on the subjects of the group's leader.
func (s *Server) termRoutes(l *leadership, t *term, methods []*serverMethod) map[string]route {
	routes := make(map[string]route, 2*len(methods))
	for _, m := range methods {
		routes[s.conn.subjects.Lead(t.Service, m.public.Name, t.Group, t.Token)] = route{method: m, lead: l, term: t}
		routes[s.conn.subjects.LeadAny(t.Service, m.public.Name, t.Group)] = route{method: m, lead: l, term: t, named: true}
	}
	return routes
}

// termBegan tells the watchers, and the registry, that a term is served.
func (s *Server) termBegan(t *term) {
	s.changes.tell(LeadershipChange{Term: Term(t.Info), Leading: true})
	s.registrar.SetLead(t.Service, registry.Lead{Group: t.Group, Term: t.Token, Since: t.Since})
}

// termEnded follows termBegan; cause is nil if the server has resigned.
func (s *Server) termEnded(t *term, cause error) {
	s.registrar.ClearLead(t.Service, t.Group, t.Token)
	s.changes.tell(LeadershipChange{Term: Term(t.Info), Cause: cause})
}
