package aegis

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
)

// start elects, registers and subscribes, in an order in which nothing arrives that
// cannot be served yet, and returns when NATS has accepted all of it.
func (s *Server) start(ctx context.Context) error {
	subscribing := denials.NewSubscribing(s.conn.nc, s.conn.bus.Denials, s.doesWithout)
	defer subscribing.Close()
	if s.conn.standing.reserved {
		s.reserve()
	}
	if err := s.elect(); err != nil {
		return fmt.Errorf("aegis: election: %w", err)
	}
	s.addStaticRoutes()
	// A process that finds this instance's name in the registry asks on the subject of
	// this process whether it lives: it has to listen before it claims the name.
	if _, err := s.calls.Subscribe(s.pulse.Subject(), ""); err != nil {
		return fmt.Errorf("aegis: subscribe: %w", err)
	}
	if err := s.confirm(ctx, subscribing); err != nil {
		return err
	}
	if err := s.claim(ctx); err != nil {
		return err
	}
	s.monitor.Round(ctx)
	subscribing.Begin() // a user who may not use the registry may serve all the same
	if err := s.subscribe(); err != nil {
		return fmt.Errorf("aegis: subscribe: %w", err)
	}
	if err := s.confirm(ctx, subscribing); err != nil {
		return err
	}
	subscribing.Begin()
	if err := s.startWork(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx, subscribing); err != nil {
		return err
	}
	settle, err := s.listenForDescriptors()
	if err != nil {
		return err
	}
	s.answerMicro()
	settle(ctx)
	s.comparePatterns()
	s.registrar.Start()
	if s.elector != nil && !s.conn.standing.reserved {
		if err := s.elector.Start(); err != nil {
			return fmt.Errorf("aegis: election: %w", err)
		}
	}
	return nil
}

// doesWithout reports whether the server serves all the same if NATS refuses the
// subscription to a subject: to the heartbeats of its name, or for the tools for NATS
// micro.
func (s *Server) doesWithout(subject string) bool {
	beats := strings.TrimSuffix(s.conn.subjects.Beats(""), ">")
	return strings.HasPrefix(subject, beats) || strings.HasPrefix(subject, "$SRV.")
}

// confirm waits until NATS has read everything that was sent so far, and returns an
// error if NATS has refused a subscription.
func (s *Server) confirm(ctx context.Context, subscribing *denials.Subscribing) error {
	if err := s.conn.flush(ctx); err != nil {
		return fmt.Errorf("aegis: start: NATS does not answer: %w", err)
	}
	if err := subscribing.Refused(ctx); err != nil {
		return fmt.Errorf("aegis: NATS does not allow this user what a server needs; aegis doctor --role server --service S tells all that is missing: %w", err)
	}
	if err := s.conn.bus.Deaf(); err != nil {
		return fmt.Errorf("aegis: start: %w", err)
	}
	return nil
}

// subscribe subscribes to the calls, the streams and the cancels of all services.
func (s *Server) subscribe() error {
	if err := s.listenToStreams(); err != nil {
		return err
	}
	for _, service := range s.services {
		name := service.desc.Name
		sub, err := s.conn.nc.Subscribe(s.conn.subjects.Cancel(name), s.canceled)
		if err != nil {
			return err
		}
		s.cancels = append(s.cancels, sub)
		s.hearing.Add(sub.Subject, "the cancels of the calls of "+name, nil)
		subject := s.conn.subjects.Instance(s.cfg.instance, name, "*")
		if err := s.listen("the calls of "+name+" to this instance", subject, "", func(*nats.Subscription) {}); err != nil {
			return err
		}
		for _, m := range service.methods {
			if err := s.offer(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen has the pool serve a subject that a part of the server needs. It hands over each
// subscription: the first one, and those that take the place of one that NATS has refused.
func (s *Server) listen(part, subject, queue string, use func(*nats.Subscription)) error {
	s.hearing.Add(subject, part, func() error {
		sub, err := s.calls.Renew(subject, queue)
		if sub != nil {
			use(sub)
		}
		return err
	})
	sub, err := s.calls.Subscribe(subject, queue)
	if err == nil {
		use(sub)
	}
	return err
}

// announce logs once that the server serves, with the services, and the NATS server.
// The logger names the instance.
func (s *Server) announce() {
	var attrs []any
	if len(s.services) > 0 {
		names := make([]string, len(s.services))
		for i, service := range s.services {
			names[i] = service.desc.Name
		}
		attrs = append(attrs, "services", strings.Join(names, " "))
	}
	if len(s.registrants) > 0 {
		attrs = append(attrs, "events_of", strings.Join(slices.Sorted(maps.Keys(s.registrants)), " "))
	}
	where := cmp.Or(dial.Redact(s.conn.nc.ConnectedUrl()), "away")
	s.logger.Info("aegis: serving", append(attrs, "nats", where)...)
}
