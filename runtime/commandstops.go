package aegis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// commandStops knows which commands of a service are canceled: from what is
// stored when the server starts and when its connection comes back, and after
// that from each cancel as it is stored.
type commandStops struct {
	server  *Server
	service string
	sub     *nats.Subscription
	halt    context.CancelFunc
	watch   sync.WaitGroup

	mu      sync.Mutex
	stopped map[string]time.Time // by id: when it was heard of
	current map[string]context.CancelCauseFunc
}

const stopsInterval = 250 * time.Millisecond

func (s *commandStops) start(ctx context.Context) error {
	s.stopped = make(map[string]time.Time)
	s.current = make(map[string]context.CancelCauseFunc)
	conn := s.server.conn
	subject := conn.subjects.Stops(s.service)
	var err error
	s.sub, err = conn.nc.Subscribe(subject, func(msg *nats.Msg) { s.heard(msg.Subject, string(msg.Data) == wire.StopOver) })
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", subject, err)
	}
	reconnects := conn.nc.Stats().Reconnects
	known := s.read(ctx) == nil
	life, halt := context.WithCancel(context.Background())
	s.halt = halt
	s.watch.Go(func() { s.follow(life, reconnects, known) })
	return nil
}

// follow reads what is stored again when something may have been missed.
func (s *commandStops) follow(ctx context.Context, reconnects uint64, known bool) {
	ticker := time.NewTicker(stopsInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.tidy(now)
		case <-ctx.Done():
			return
		}
		if now := s.server.conn.nc.Stats().Reconnects; now != reconnects || !known {
			reconnects, known = now, s.read(ctx) == nil
		}
	}
}

// read looks for stored cancels. Without a stream there is none.
func (s *commandStops) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultStoreTimeout)
	defer cancel()
	stream, err := s.server.conn.stores.Find(ctx, wire.ResultStream(s.server.conn.ns, s.service))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.server.conn.subjects.Stops(s.service)))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		s.heard(subject, false)
	}
	return nil
}

func (s *commandStops) heard(subject string, over bool) {
	id, ok := wire.ParseCommandID(subject, 1)
	if !ok {
		return
	}
	s.mu.Lock()
	if over {
		delete(s.stopped, id)
		s.mu.Unlock()
		return
	}
	s.stopped[id] = time.Now()
	cancel := s.current[id]
	s.mu.Unlock()
	if cancel != nil {
		cancel(errCanceledCommand)
	}
}

// has reports whether a command is canceled.
func (s *commandStops) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.stopped[id]
	return ok
}

// begun says how the context of a command that begins is ended.
func (s *commandStops) begun(id string, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	s.current[id] = cancel
	_, stopped := s.stopped[id]
	s.mu.Unlock()
	if stopped { // just now
		cancel(errCanceledCommand)
	}
}

func (s *commandStops) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.current, id)
}

// tidy forgets cancels that are not stored any more either.
func (s *commandStops) tidy(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.stopped) < 1024 {
		return
	}
	for id, at := range s.stopped {
		if now.Sub(at) > minStopTTL {
			delete(s.stopped, id)
		}
	}
}

func (s *commandStops) stop(context.Context) {}

func (s *commandStops) wait() {}

func (s *commandStops) end() {
	if s.halt != nil {
		s.halt()
		s.watch.Wait()
		_ = s.sub.Unsubscribe() // fails only if it is gone already
	}
}

func (s *commandStops) running(map[string]int) {}

func (s *commandStops) led() bool { return false }
