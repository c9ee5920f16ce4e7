package aegis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
)

// maxCheckName bounds the name of a check, which heartbeats carry.
const maxCheckName = 64

// Live returns nil unless the server has stopped, which only a restart ends. With
// Ready it makes an http.Handler for probes:
//
//	http.Handle("/", httphealth.Handler(srv.Live, srv.Ready))
func (s *Server) Live(context.Context) error {
	if s.State() == StateStopped {
		return errors.New("aegis: the server has stopped")
	}
	return nil
}

// Ready returns nil if the server serves: it is RUNNING, is connected to NATS, no
// check says that it is unhealthy, commands and durable events come, and it stands
// for election. Else the error says what is not so.
func (s *Server) Ready(context.Context) error {
	if state := s.State(); state != StateRunning {
		return fmt.Errorf("aegis: the server is %s", state)
	}
	if status := s.conn.nc.Status(); status != nats.CONNECTED {
		return fmt.Errorf("aegis: the connection to NATS is %s", status)
	}
	if f := s.monitor.Unhealthy(); f != nil {
		return fmt.Errorf("aegis: unhealthy by check %q: %s", f.Check, f.Reason)
	}
	return s.parts.Err()
}

// Broken returns what the server cannot do at present beside calls, and why: a part's
// name, such as "the commands of order.v1.OrderService.Reconcile", in order of the
// names. All else works meanwhile, and Ready fails. It is empty before Run.
func (s *Server) Broken() iter.Seq2[string, error] { return s.parts.All() }

// Report returns how a registered service does on this instance, with the figures
// of each method over the last minute, and whether there is such a service. Before
// Run nothing is known of the process and the checks.
func (s *Server) Report(service string) (health.Report, bool) {
	found := s.find(service)
	if found == nil {
		return health.Report{}, false
	}
	return s.monitor.Assess(found.recorder.Snapshot(time.Now())), true
}

// Recorders returns what counts the calls and commands of the registered services,
// by their full names, for programs that export it.
func (s *Server) Recorders() iter.Seq2[string, *health.Recorder] {
	s.mu.Lock()
	services := slices.Clip(s.services)
	s.mu.Unlock()
	return func(yield func(string, *health.Recorder) bool) {
		for _, service := range services {
			if !yield(service.spec.Name, service.recorder) {
				return
			}
		}
	}
}

// EventRecorders returns what counts the events that this server handles, by the
// full names of the services whose events they are. A delivery is a request, also
// one that is repeated. They are in no Report and change no score, as events are of
// services that need not be registered here.
func (s *Server) EventRecorders() iter.Seq2[string, *health.Recorder] {
	s.mu.Lock()
	recorders := make(map[string]*health.Recorder, len(s.registrants))
	for service, r := range s.registrants {
		recorders[service] = r.recorder()
	}
	s.mu.Unlock()
	return maps.All(recorders)
}

// find returns the registered service of this name, or nil.
func (s *Server) find(name string) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.services {
		if service.spec.Name == name {
			return service
		}
	}
	return nil
}

// recorderOf returns the recorder of a registration of this server, by the name under
// which it is in the registry; nil if there is none.
func (s *Server) recorderOf(name string) *health.Recorder {
	if service, ok := wire.ParseSubscribers(name); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r := s.registrants[service]; r != nil {
			return r.recorder()
		}
		return nil
	}
	if service := s.find(name); service != nil {
		return service.recorder
	}
	return nil
}
