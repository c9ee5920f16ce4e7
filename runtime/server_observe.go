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

// maxCheckName is the most bytes that the name of a check may have: heartbeats carry it.
const maxCheckName = 64

// Live returns nil unless the server has stopped: then only a restart of the process
// helps. Live and Ready make an http.Handler for probes:
//
//	http.Handle("/", httphealth.Handler(srv.Live, srv.Ready))
func (s *Server) Live(context.Context) error {
	if s.State() == StateStopped {
		return errors.New("aegis: the server has stopped")
	}
	return nil
}

// Ready returns nil if the server serves: its state is RUNNING, it is connected to NATS,
// no check says that it is unhealthy, it receives calls, commands and events, it can store
// how commands have ended, and it stands for election. Else the error says which of these is not so.
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

// Broken returns the parts of the server that do not work at present, and
// why: names such as "the commands of order.v1.OrderService.Reconcile", in order. All
// other parts work meanwhile, and Ready returns an error. There are none before Run.
func (s *Server) Broken() iter.Seq2[string, error] { return s.parts.Broken() }

// Parts returns all parts of the server that can fail by themselves, in order of their
// names: whether each works, how often it has failed, and for how long.
func (s *Server) Parts() iter.Seq[health.Part] { return s.parts.All() }

// Streams returns how many handlers of streams run.
func (s *Server) Streams() int { return len(s.streams.Open()) }

// Report returns the health of a registered service on this instance, with the figures
// of each method over the last minute. It reports false if no such service is
// registered. Before Run the report knows nothing of the process and the checks.
func (s *Server) Report(service string) (health.Report, bool) {
	found := s.find(service)
	if found == nil {
		return health.Report{}, false
	}
	return s.monitor.Assess(found.recorder.Snapshot(time.Now())), true
}

// Recorders returns the recorders that count the calls and commands of the registered
// services, by the full names of the services, for programs that export the figures.
func (s *Server) Recorders() iter.Seq2[string, *health.Recorder] {
	s.mu.Lock()
	services := slices.Clip(s.services)
	s.mu.Unlock()
	return func(yield func(string, *health.Recorder) bool) {
		for _, service := range services {
			if !yield(service.desc.Name, service.recorder) {
				return
			}
		}
	}
}

// EventRecorders returns the recorders that count the events which this server handles,
// by the full names of the services that publish the events. Each delivery counts as a
// request, a repeated one as well. The counts are in no Report and change no score: the
// services need not be registered here.
func (s *Server) EventRecorders() iter.Seq2[string, *health.Recorder] {
	s.mu.Lock()
	recorders := make(map[string]*health.Recorder, len(s.registrants))
	for service, r := range s.registrants {
		recorders[service] = r.recorder()
	}
	s.mu.Unlock()
	return maps.All(recorders)
}

// find returns the registered service with a full name, or nil.
func (s *Server) find(name string) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range s.services {
		if service.desc.Name == name {
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
