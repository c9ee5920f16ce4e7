package aegis

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// workload is what a server does without being called: it handles events or
// commands.
type workload interface {
	// start begins, and returns an error only if it never can. The start of others
	// runs at the same time.
	start(ctx context.Context) error
	// stop takes nothing new.
	stop(ctx context.Context)
	// wait returns when no handler runs any more.
	wait()
	// end follows wait, or the end of the server's patience.
	end()
	// led: it is done in the name of a leader, who is to be relieved soon.
	led() bool
	// running counts the handlers that run, by method.
	running(names map[string]int)
}

// registrant is a part of a server that is registered beside its services: it subscribes
// to the events of one service, and so shows in the registry, to the tools for NATS
// micro and in the health of the instance. The server knows no more of it than that.
type registrant interface {
	// spec is the service; its patterns are compared with those of others.
	spec() *spec.Service
	registration() registrar.Service
	micro() micro.Service
	recorder() *health.Recorder
}

// sortedRegistrants returns the registrants in order of their services.
func (s *Server) sortedRegistrants() []registrant {
	all := make([]registrant, 0, len(s.registrants))
	for _, name := range slices.Sorted(maps.Keys(s.registrants)) {
		all = append(all, s.registrants[name])
	}
	return all
}

// startWork starts all at once: where NATS takes its time, they wait together.
func (s *Server) startWork(ctx context.Context) error {
	errs := make([]error, len(s.work))
	var starting sync.WaitGroup
	for i, w := range s.work {
		starting.Go(func() { errs[i] = w.start(ctx) })
	}
	starting.Wait()
	for _, err := range errs {
		if err != nil {
			return err // one is enough to act
		}
	}
	return nil
}

func (s *Server) stopWork(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, w := range s.work {
		stopping.Go(func() { w.stop(ctx) })
	}
	stopping.Wait()
}

func (s *Server) endWork() {
	for _, w := range s.work {
		w.end()
	}
}

// workDone is closed when no handler of the work runs any more that belongs to a
// leader, or of the other work.
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

// deadLetters are those of a service, and the part of the server that they are.
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
