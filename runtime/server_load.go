package aegis

import (
	"slices"
	"sync"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// loadMeter knows what the last heartbeat of a service has counted.
type loadMeter struct {
	mu   sync.Mutex
	last health.Totals
}

// load is what a heartbeat says about how busy this instance is with a service.
func (s *Server) load(name string) registry.Load {
	service := s.find(name)
	if service == nil {
		return registry.Load{}
	}
	return service.load()
}

// load has the latency since it was called last: a mean over a minute would hide
// for too long that an instance has become slow.
func (s *service) load() registry.Load {
	s.meter.mu.Lock()
	defer s.meter.mu.Unlock()
	totals := s.recorder.Totals()
	load := registry.Load{InFlight: int(s.running.Load()), Latency: totals.MeanSince(s.meter.last), Capacity: int(s.max)}
	s.meter.last = totals
	return load
}

// methodNames are the names of the methods that the instance does not lack, in
// order: never nil, which would be that they are not known.
func (s *service) methodNames() []string {
	names := make([]string, 0, len(s.methods))
	for _, m := range s.methods {
		if m.served || m.method.Pattern == spec.Event {
			names = append(names, m.spec.Method)
		}
	}
	slices.Sort(names)
	return names
}
