package aegis

import (
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
)

// Subscribers returns the name under which Instances and WatchInstances find the
// processes that subscribe to the events of a service. They are no instances of the
// service itself: nobody calls them, and no broadcast waits for them.
func Subscribers(service string) string { return wire.SubscribersOf(service) }

// subscriber is all that a server subscribes to of one service, as one registrant.
type subscriber struct {
	server  *Server
	service *spec.Service
	subs    []*subscription // in order of the events; the server's mutex guards it before Run
	counts  *health.Recorder
}

// subscriberOf returns the subscriber of a server for a service. The caller holds the
// server's mutex.
func subscriberOf(s *Server, service *spec.Service) (*subscriber, error) {
	if r, ok := s.registrants[service.Name].(*subscriber); ok {
		return r, nil
	}
	counts, err := health.NewRecorder(health.Config{}, time.Now())
	if err != nil {
		return nil, err
	}
	r := &subscriber{server: s, service: service, counts: counts}
	if s.registrants == nil {
		s.registrants = make(map[string]registrant)
	}
	s.registrants[service.Name] = r
	return r, nil
}

// add adds a subscription, whose deliveries count from now on.
func (r *subscriber) add(sub *subscription) {
	sub.stats.Health = r.counts.Method(sub.method.Name)
	sub.stats.Health.Unrate()
	r.subs = append(r.subs, sub)
	slices.SortStableFunc(r.subs, func(a, b *subscription) int { return strings.Compare(a.method.Name, b.method.Name) })
}

func (r *subscriber) eventsOf() *spec.Service { return r.service }

func (r *subscriber) recorder() *health.Recorder { return r.counts }

// registration returns the entry in the registry. Two processes may compete under one
// name of an instance. But if each instance gets all events, two processes of one name
// would share a consumer, and so the events.
func (r *subscriber) registration() registrar.Service {
	entry := registrar.Service{
		Name: wire.SubscribersOf(r.service.Name), Version: r.service.Version,
		Methods: []string{}, Subscriber: true, Shared: true,
	}
	var methods []*spec.Method
	for _, sub := range r.subs {
		methods = append(methods, sub.method)
		entry.Methods = append(entry.Methods, sub.method.Name)
		if sub.each && sub.event.Durable && r.server.cfg.named {
			entry.Shared = false
		}
	}
	entry.Methods, entry.Patterns = slices.Compact(entry.Methods), patterns.All(methods)
	return entry
}

// micro shows the subscriber to the tools for NATS micro. Its endpoints are its
// subscriptions, to which nobody sends requests.
func (r *subscriber) micro() micro.Service {
	m := micro.Service{
		Name: wire.MicroName(r.service.Name) + "-events", ID: r.server.process, Version: r.service.Version,
		Metadata: r.server.microMetadata(r.service.Name),
	}
	m.Metadata["role"] = "subscriber"
	set := r.server.descriptors.Of(r.service.Name)
	m.Describe(r.service.Desc, set)
	subjects := r.server.conn.subjects
	for _, sub := range r.subs {
		e := micro.Endpoint{
			Name: sub.method.Name, Queue: sub.group,
			Subject:  subjects.Event(r.service.Name, sub.method.Name),
			Metadata: map[string]string{"pattern": patterns.Name(sub.method), "consumer": sub.consumer},
			Stats:    func() micro.Stats { return r.server.microStats(&sub.stats) },
		}
		e.Describe(sub.method.Desc, set)
		if sub.event.Durable {
			e.Subject = subjects.LogAll(r.service.Name, sub.method.Name)
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}
