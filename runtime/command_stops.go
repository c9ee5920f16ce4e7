package aegis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// commandStops knows which commands of a service are canceled: from what is
// stored when the server starts, when its connection comes back and every minute,
// and besides from what NATS tells of each cancel once it is stored.
type commandStops struct {
	server  *Server
	service string
	sub     *nats.Subscription
	halt    context.CancelFunc
	watch   sync.WaitGroup
	started sync.Once
	failure error // of the start

	mu      sync.Mutex
	stopped map[string]commandStop // by the command's id
	current map[string]runningCommand
}

// commandStop is a stored cancel of one command: not of those that have its id
// before or after it.
type commandStop struct {
	send     string // of the command
	sequence uint64 // its own
}

// runningCommand is one whose handler runs.
type runningCommand struct {
	send   string
	cancel context.CancelCauseFunc
}

const (
	// stopsReadInterval is how often all stored cancels are read, should one not
	// have been heard.
	stopsReadInterval = time.Minute
	// stopsRetryInterval is how soon that is tried again, and stopsReadTimeout how
	// long it may take: there is a read for each stored cancel.
	stopsRetryInterval = 2 * time.Second
	stopsReadTimeout   = 30 * time.Second
)

// start is called by those as well that work the commands, as they need the cancels
// first.
func (s *commandStops) start(ctx context.Context) error {
	s.started.Do(func() { s.failure = s.begin(ctx) })
	return s.failure
}

func (s *commandStops) begin(ctx context.Context) error {
	s.stopped = make(map[string]commandStop)
	s.current = make(map[string]runningCommand)
	conn := s.server.conn
	subject := conn.subjects.Told(s.service, "*.*", wire.ResultStop)
	var err error
	s.sub, err = conn.nc.Subscribe(subject, s.told)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", subject, err)
	}
	returns := conn.bus.Link.Returns()
	limited, cancel := context.WithTimeout(ctx, stores.DefaultTimeout) // the rest is read later
	defer cancel()
	known := s.read(limited) == nil
	life, halt := context.WithCancel(context.Background())
	s.halt = halt
	s.watch.Go(func() { s.follow(life, returns, known) })
	return nil
}

// follow reads what is stored again when something may have been missed.
func (s *commandStops) follow(ctx context.Context, returns uint64, known bool) {
	conn := s.server.conn
	timer := time.NewTimer(stopsPause(known))
	defer timer.Stop()
	for {
		link := conn.bus.Link.State()
		if link.Returns == returns {
			select {
			case <-link.Changed():
				continue
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		limited, cancel := context.WithTimeout(ctx, stopsReadTimeout)
		returns, known = link.Returns, s.read(limited) == nil
		cancel()
		timer.Reset(stopsPause(known))
	}
}

func stopsPause(known bool) time.Duration {
	if known {
		return stopsReadInterval
	}
	return stopsRetryInterval
}

// read looks for stored cancels. Without a stream there is none.
func (s *commandStops) read(ctx context.Context) error {
	conn := s.server.conn
	name := wire.ResultStream(conn.ns, s.service)
	stream, err := conn.stores.Find(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	asking, why := conn.stores.Allowed(ctx, "STREAM.INFO."+name)
	info, err := stream.Info(asking, jetstream.WithSubjectFilter(conn.subjects.Stops(s.service)))
	if err = why(err); err != nil {
		return err
	}
	found := make(map[string]commandStop, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		msg, err := conn.lastStored(ctx, name, subject)
		if err != nil {
			return err
		}
		id, ok := wire.ParseCommandID(subject, 1)
		if ok && msg != nil && string(msg.Data) != wire.StopOver {
			found[id] = commandStop{string(msg.Data), msg.Sequence}
		}
	}
	s.replace(found, last)
	return nil
}

// replace takes what was read for all that there is up to a sequence.
func (s *commandStops) replace(found map[string]commandStop, last uint64) {
	s.mu.Lock()
	for id, stop := range s.stopped {
		if _, ok := found[id]; !ok && stop.sequence <= last {
			delete(s.stopped, id)
		}
	}
	s.mu.Unlock()
	for id, stop := range found {
		s.add(id, stop)
	}
}

// told hears of a cancel that is stored, or that one is over.
func (s *commandStops) told(msg *nats.Msg) {
	id, ok := wire.ParseCommandID(msg.Subject, 1)
	sequence, err := strconv.ParseUint(msg.Header.Get(wire.HeaderSequence), 10, 64)
	if !ok || err != nil {
		return // it is not from the stream
	}
	if string(msg.Data) == wire.StopOver {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stopped[id].sequence < sequence {
			delete(s.stopped, id)
		}
		return
	}
	s.add(id, commandStop{string(msg.Data), sequence})
}

func (s *commandStops) add(id string, stop commandStop) {
	s.mu.Lock()
	if s.stopped[id].sequence > stop.sequence {
		s.mu.Unlock()
		return
	}
	s.stopped[id] = stop
	running, runs := s.current[id]
	s.mu.Unlock()
	if runs && running.send == stop.send {
		running.cancel(errCanceledCommand)
	}
}

// of returns the cancel of a command.
func (s *commandStops) of(id, send string) (commandStop, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stop, ok := s.stopped[id]
	return stop, ok && stop.send == send
}

// begun says how the context of a command that begins is ended.
func (s *commandStops) begun(id, send string, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	s.current[id] = runningCommand{send, cancel}
	stop, stopped := s.stopped[id]
	s.mu.Unlock()
	if stopped && stop.send == send { // just now
		cancel(errCanceledCommand)
	}
}

func (s *commandStops) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.current, id)
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
