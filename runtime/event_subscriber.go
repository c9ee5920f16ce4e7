package aegis

import (
	"maps"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
)

// Subscribers returns what Instances and WatchInstances take for those who
// subscribe to the events of a service. They are no instances of the service
// itself: nobody calls them, and no broadcast awaits them.
func Subscribers(service string) string { return wire.SubscribersOf(service) }

// subscribedService is what a server subscribes to of one service.
type subscribedService struct {
	server  *Server
	service *spec.Service
	subs    []*subscription // in order of the events
}

// subscribed returns what the server subscribes to, in order of the services.
func (s *Server) subscribed() []subscribedService {
	of := make(map[string]*subscribedService)
	for _, w := range s.work {
		runner, ok := w.(subscriptionRunner)
		if !ok {
			continue
		}
		sub := runner.of()
		if of[sub.service.Name] == nil {
			of[sub.service.Name] = &subscribedService{server: s, service: sub.service}
		}
		of[sub.service.Name].subs = append(of[sub.service.Name].subs, sub)
	}
	var all []subscribedService
	for _, name := range slices.Sorted(maps.Keys(of)) {
		slices.SortStableFunc(of[name].subs, func(a, b *subscription) int { return strings.Compare(a.method.Name, b.method.Name) })
		all = append(all, *of[name])
	}
	return all
}

// registration is how it is registered. Two processes may compete under one name,
// but those that each get all share a consumer then, and so the events.
func (s *subscribedService) registration() registrar.Service {
	r := registrar.Service{
		Name: wire.SubscribersOf(s.service.Name), Version: s.service.Version,
		Methods: []string{}, Subscriber: true, Shared: true,
	}
	var methods []*spec.Method
	for _, sub := range s.subs {
		methods = append(methods, sub.method)
		r.Methods = append(r.Methods, sub.method.Name)
		if sub.each && sub.event.Durable && s.server.cfg.named {
			r.Shared = false
		}
	}
	r.Methods, r.Patterns = slices.Compact(r.Methods), patterns.All(methods)
	return r
}

// microSubscriber shows a subscriber to the tools for NATS micro. Its endpoints
// are its subscriptions, to which nobody sends requests.
func (s *Server) microSubscriber(of subscribedService) micro.Service {
	m := micro.Service{
		Name: wire.MicroName(of.service.Name) + "-events", ID: s.process, Version: of.service.Version,
		Metadata: s.microMetadata(of.service.Name),
	}
	m.Metadata["role"] = "subscriber"
	for _, sub := range of.subs {
		e := micro.Endpoint{
			Name: sub.method.Name, Queue: sub.group,
			Subject:  s.conn.subjects.Event(of.service.Name, sub.method.Name),
			Metadata: map[string]string{"pattern": patterns.Name(sub.method), "consumer": sub.consumer},
			Stats:    func() micro.Stats { return s.microStats(&sub.stats) },
		}
		if sub.event.Durable {
			e.Subject = s.conn.subjects.LogAll(of.service.Name, sub.method.Name)
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}

// comparePatterns has the patterns compared of all that the server serves or
// subscribes to.
func (s *Server) comparePatterns() {
	for _, service := range s.services {
		s.conn.patterns.Use(service.spec)
	}
	for _, of := range s.subscribed() {
		s.conn.patterns.Use(of.service)
	}
}

// recorderOf returns what counts for the name of a registration; nil for none.
func (s *Server) recorderOf(name string) *health.Recorder {
	if service, ok := wire.ParseSubscribers(name); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.events[service]
	}
	if service := s.find(name); service != nil {
		return service.recorder
	}
	return nil
}
