package aegis

import (
	"context"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
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
// names the descriptors in the registry; see descserve.Listen.
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
	return s.descriptors.Listen(&descserve.Listening{
		NATS: s.conn.nc, Denials: s.conn.bus.Denials, Subscribe: s.calls.Subscribe, Logger: s.logger,
		ByHash: s.conn.standing.reserved, // the version of a reserved instance is for those who choose the instance
	})
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
