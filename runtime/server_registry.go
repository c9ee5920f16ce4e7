package aegis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/descserve"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// ErrInstanceTaken is wrapped by the error that Run returns if another process that lives
// has the name of this instance: at the start, or because this process was unreachable
// for so long that another process took the name over.
var ErrInstanceTaken = errors.New("aegis: the name of the instance is taken")

// registration is how others see a server: in the registry, and with the tools for NATS
// micro.
type registration struct {
	registrar   *registrar.Registrar // nil until the server has claimed its name
	descriptors *descserve.Responder // of the services; set before any message arrives
	micro       *micro.Responder     // nil: the tools for NATS micro do not see the server
	taken       chan error           // gets one error if another process takes the name over
}

// claim registers the instance under its name before it listens under that name.
func (s *Server) claim(ctx context.Context) error {
	r := registrar.New(registrar.Options{
		NATS: s.conn.nc, Link: s.conn.bus.Link, JetStream: s.conn.stores, Namespace: s.conn.ns, Process: s.process, Instance: s.cfg.instance,
		Origin: s.conn.standing.origin, Reserved: s.conn.standing.reserved,
		Logger:    s.logger,
		Heartbeat: s.cfg.heartbeat, Bucket: s.bucket(&s.cfg.registryBucket),
		Metrics: func(name string) json.RawMessage { return s.monitor.Metrics(s.recorderOf(name)) },
		Load:    s.loadOf,
		Taken:   func(err error) { s.taken <- err },
	})
	for _, service := range s.services {
		r.Add(registrar.Service{Name: service.desc.Name, Version: service.desc.Version, Methods: service.methodNames(), Patterns: patterns.All(service.desc.Methods)})
	}
	for _, other := range s.sortedRegistrants() {
		r.Add(other.registration())
	}
	s.registrar = r
	if err := r.Claim(ctx); errors.Is(err, registrar.ErrNameTaken) {
		return instanceTaken(err)
	} else if err != nil {
		return err
	}
	return nil
}

// instanceTaken puts the public error in the place of the registrar's.
func instanceTaken(err error) error {
	return fmt.Errorf("%w%s", ErrInstanceTaken, strings.TrimPrefix(err.Error(), registrar.ErrNameTaken.Error()))
}

// loadOf returns how busy this instance is with a service.
func (s *Server) loadOf(name string) registry.Load {
	service := s.find(name)
	if service == nil {
		return registry.Load{}
	}
	return service.load.Measure(service.recorder, service.running.Load(), service.max)
}

// registerState shows the state of the server in the registry.
func (s *Server) registerState(state State) {
	if s.registrar == nil {
		return
	}
	switch state {
	case StateRunning:
		s.registrar.SetState(registry.Running)
	case StateStopping:
		s.registrar.SetState(registry.Stopping)
	default: // the registrar sets the others itself, with Claim and Stop
	}
}

// deregister takes the instance out of the registry, and ends the answers to the tools
// for NATS micro.
func (s *Server) deregister() {
	if s.micro != nil {
		s.micro.Stop()
	}
	if s.registrar == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	s.registrar.Stop(ctx)
}

// answerMicro shows the services to the tools for NATS micro. A server that may not
// subscribe to $SRV serves all the same.
func (s *Server) answerMicro() {
	services := make([]micro.Service, 0, len(s.services))
	for _, service := range s.services {
		services = append(services, s.microService(service))
	}
	for _, other := range s.sortedRegistrants() {
		services = append(services, other.micro())
	}
	var err error
	if s.micro, err = micro.Start(s.conn.nc, services); err != nil {
		s.logger.Warn("aegis: NATS micro tools will not see this server", "err", err)
	}
}

// microService returns the entry of a service for the tools for NATS micro.
func (s *Server) microService(service *service) micro.Service {
	m := micro.Service{
		Name: wire.MicroName(service.desc.Name), ID: s.process, Version: service.desc.Version,
		Metadata: s.microMetadata(service.desc.Name),
	}
	set := s.descriptors.Of(service.desc.Name)
	m.Describe(service.desc.Desc, set)
	for _, method := range service.methods {
		if !method.served {
			continue
		}
		e := micro.EndpointOf(s.conn.subjects, service.desc.Name, method.method,
			func() micro.Stats { return s.microStats(&method.stats) })
		e.Describe(method.method.Desc, set)
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}

// microMetadata returns the metadata of the entry of a service.
func (s *Server) microMetadata(service string) map[string]string {
	m := map[string]string{"service": service, "namespace": s.conn.ns, "instance": s.cfg.instance}
	standing := &s.conn.standing
	for key, value := range standing.origin.Labels {
		m["label."+key] = value
	}
	for key, value := range map[string]string{"zone": standing.origin.Zone, "node": standing.origin.Node, "build": standing.origin.Build} {
		if value != "" {
			m[key] = value
		}
	}
	if standing.reserved {
		m["reserved"] = "true"
	}
	return m
}

// comparePatterns has the connection compare the patterns of the methods of all services
// that the server serves or subscribes to with those in the registry.
func (s *Server) comparePatterns() {
	for _, service := range s.services {
		s.conn.patterns.Use(service.desc)
	}
	for _, other := range s.sortedRegistrants() {
		s.conn.patterns.Use(other.eventsOf())
	}
}
