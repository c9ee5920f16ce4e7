package aegis

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// workload is work that a server does without being called: handling the events of
// one subscription, or the commands of one method. Each is registered before Run;
// the server calls start, stop, wait and end in this order, each at most once.
type workload interface {
	// start begins to take messages. It returns an error only if the workload can
	// never work; a trouble that may pass is waited out in the background. All
	// workloads of a server start at the same time.
	start(ctx context.Context) error
	// stop takes no new messages. Handlers go on running.
	stop(ctx context.Context)
	// wait returns when no handler of the workload runs any more.
	wait()
	// end releases what the workload holds. It follows wait, or the end of the
	// server's grace period.
	end()
	// led reports whether the workload belongs to a leader. The server waits for
	// those first, as the next leader waits for it.
	led() bool
	// running adds the number of handlers that run to the names of their methods.
	running(names map[string]int)
}

// registrant is a part of a server that is registered beside its services: it subscribes
// to the events of one service, and so shows in the registry, to the tools for NATS
// micro and in the health of the instance. The server knows no more of it than that.
type registrant interface {
	// spec is the service; its patterns are compared with those of others.
	eventsOf() *spec.Service
	registration() registrar.Service
	micro() micro.Service
	recorder() *health.Recorder
}

// roster is all that is registered with a server. It changes only before Run.
type roster struct {
	mu          sync.Mutex // guards the rest before Run, and the change of the state to STARTING
	services    []*service
	work        []workload
	registrants map[string]registrant // subscribers to events, by the full name of the service
}

// beforeRun calls add, which may change the roster, unless Run was called. The error
// names the action, such as "register order.v1.OrderService", whose first word is what
// the program has to do before Run.
func (s *Server) beforeRun(action string, add func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.State(); state != StateInit {
		verb, _, _ := strings.Cut(action, " ")
		return fmt.Errorf("aegis: %s: the server is %s; %s before Run", action, state, verb)
	}
	return add()
}

// sortedRegistrants returns the registrants in order of their services.
func (r *roster) sortedRegistrants() []registrant {
	all := make([]registrant, 0, len(r.registrants))
	for _, name := range slices.Sorted(maps.Keys(r.registrants)) {
		all = append(all, r.registrants[name])
	}
	return all
}

// reserve drops all that a server does without being called by its name.
func (s *Server) reserve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work, s.registrants = nil, nil
	s.logger.Info("aegis: this instance is reserved: it takes only calls that name it or choose it by a label")
}

// startWork starts all workloads, and returns when all have started, with an error of one
// that never can. They start at the same time: if NATS is slow, they wait together.
func (s *Server) startWork(ctx context.Context) error {
	errs := make([]error, len(s.work))
	var starting sync.WaitGroup
	for i, w := range s.work {
		starting.Go(func() { errs[i] = w.start(ctx) })
	}
	starting.Wait()
	for _, err := range errs {
		if err != nil {
			return err // one is enough for the program to act
		}
	}
	return nil
}

// stopWork has all workloads take no new messages.
func (s *Server) stopWork(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, w := range s.work {
		stopping.Go(func() { w.stop(ctx) })
	}
	stopping.Wait()
}

// endWork releases what the workloads hold.
func (s *Server) endWork() {
	for _, w := range s.work {
		w.end()
	}
}

// workDone returns a channel that is closed when no handler runs any more: of the
// workloads that belong to a leader, or of those that do not.
func (s *Server) workDone(led bool) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, w := range s.work {
			if w.led() == led {
				w.wait()
			}
		}
	}()
	return done
}

// deadLetters returns the dead letters of a service, and the part of the server that
// fails while they cannot be written.
func (s *Server) deadLetters(
	service string, storage *Storage, proto *spec.Storage, policy stores.Policy, logger func() *slog.Logger,
) (*work.DeadLetters, *parts.Part) {
	conn := s.conn
	letters := &work.DeadLetters{
		Bus: conn.bus, Stores: conn.stores, Subjects: conn.subjects, Service: service,
		Stream: stores.Stream{Stores: conn.stores, Want: conn.deadStream(service, storage, proto), Policy: policy},
	}
	return letters, s.parts.Shared("the dead letters of "+service, logger)
}
