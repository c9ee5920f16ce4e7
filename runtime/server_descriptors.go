package aegis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/descserve"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// makeDescriptors makes the descriptors of all services while the server starts, as that
// takes longer than NATS needs for an answer.
func (s *Server) makeDescriptors() {
	s.descriptors = descserve.New(s.conn.subjects)
	for _, name := range s.describedServices() {
		go func() { _, _ = s.conn.descriptors().Of(name) }() // listenForDescriptors takes the error
	}
}

// describedServices returns the services that the server serves or subscribes to, in order.
func (s *Server) describedServices() []string {
	names := make(map[string]bool)
	for _, service := range s.services {
		names[service.desc.Name] = true
	}
	for name := range s.registrants {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// listenForDescriptors subscribes to the requests for the descriptors of all services, and
// names the descriptors in the registry. The function that it returns is called after a
// flush: it takes note of what NATS has refused. A server that may not subscribe there
// serves calls all the same.
func (s *Server) listenForDescriptors() (settle func(context.Context), err error) {
	sets := make(map[string]*descset.Set)
	for _, name := range s.describedServices() {
		set := s.descriptorsOf(name)
		if set == nil {
			continue
		}
		sets[name] = set
		s.registrar.SetDescriptors(name, set.Hash())
		s.registrar.SetDescriptors(wire.SubscribersOf(name), set.Hash())
	}
	s.descriptors.Serve(sets)
	var refused descriptorsRefused
	concerns := func(d *denials.Denial) bool { return d.Subscribe && s.descriptors.Serves(d.Subject) }
	stop := s.conn.bus.Denials.Watch(concerns, func(d *denials.Denial) { refused.add(d.Subject) })
	subs := make(map[string]*nats.Subscription)
	for _, subject := range s.descriptors.Subjects() {
		if s.conn.standing.reserved && !s.descriptors.OfHash(subject) {
			continue // the version of a reserved instance is for those who choose the instance
		}
		if subs[subject], err = s.calls.Subscribe(subject, wire.Queue); err != nil {
			stop()
			return nil, fmt.Errorf("aegis: subscribe: %w", err)
		}
	}
	return func(ctx context.Context) {
		s.conn.bus.Denials.Settle(ctx)
		stop()
		// Nobody hears the errors of a connection that the program has made itself.
		if last := denials.Parse(s.conn.nc.LastError()); last != nil && concerns(last) {
			refused.add(last.Subject)
		}
		subjects := refused.list()
		for _, subject := range subjects {
			_ = subs[subject].Unsubscribe() // else nats.go would ask for it again after each reconnect
		}
		if len(subjects) > 0 {
			s.logger.Warn("aegis: this user may not subscribe to requests for descriptors, and tools without generated code may not know the services; "+
				"see the least permissions in docs/protocol.md", "subjects", strings.Join(subjects, " "))
		}
	}, nil
}

// descriptorsRefused are the subjects of descriptors that NATS lets this user not subscribe
// to. It is safe for concurrent use.
type descriptorsRefused struct {
	mu       sync.Mutex // guards subjects
	subjects []string
}

func (r *descriptorsRefused) add(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.subjects, subject) {
		r.subjects = append(r.subjects, subject)
	}
}

func (r *descriptorsRefused) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.subjects)
}

// descriptorsOf returns the descriptors of a service; nil if there are none.
func (s *Server) descriptorsOf(service string) *descset.Set {
	set, err := s.conn.descriptors().Of(service)
	if err != nil {
		s.logger.Warn("aegis: the descriptors of a service cannot be served", "service", service, "err", err)
		return nil
	}
	return set
}

// serveDescriptors answers a request for descriptors.
func (s *Server) serveDescriptors(msg *nats.Msg) {
	if msg.Reply == "" {
		s.dropped(msg)
		return
	}
	header, slice, st := s.descriptors.Answer(msg, s.conn.nc.MaxPayload())
	if st != nil {
		s.replies.Fail(msg, st, wire.WantsJSON(msg.Header), nil)
		return
	}
	// It is not kept for a connection that comes back, as the caller asks again, and some
	// thousands of slices would be much to keep.
	_ = s.conn.nc.PublishMsg(&nats.Msg{Subject: msg.Reply, Header: header, Data: slice})
}
