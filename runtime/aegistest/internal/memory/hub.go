// Package memory stands for NATS in unit tests: it calls the handlers of servers for the
// clients and publishers of the same connection, within the process. Messages and metadata
// are copied as if they travelled, and errors lose what does not travel.
//
// It keeps time by package time alone and does no I/O, so that in a bubble of
// testing/synctest pauses and deadlines take no time.
package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Hub is a memory: see inmemory.Memory. It is safe for concurrent use.
type Hub struct {
	mu        sync.Mutex    // guards all fields
	changed   chan struct{} // closed, and replaced, by every change that somebody may wait for
	servers   []*server     // in the order in which they came
	targets   map[string]*targets
	leaders   map[groupKey]*group
	lastToken uint64

	logs      map[string]*log // of durable events, by service
	consumers map[string]*consumer
	published []*Message
	dead      []*DeadLetter

	queues   map[string]*queue   // of commands, by method
	commands map[string]*command // by service, method and id
	sent     []*Message
	lastID   int

	running int // handlers of events and commands
}

// Message is an event that was published, or a command that was sent.
type Message struct {
	Service  *spec.Service
	Method   *spec.Method
	Body     proto.Message
	Header   map[string][]string
	ID       string // the message id of an event, the id of a command
	Sequence uint64 // of a durable event
	Time     time.Time
}

// DeadLetter is an event or a command that was given up.
type DeadLetter struct {
	Message  *Message
	Consumer string // of an event
	Attempts int
	Why      *status.Status
}

// server is a server that serves.
type server struct {
	*inmemory.Server

	calls    sync.WaitGroup // handlers that run, of calls and streams
	stopping bool           // guarded by the mutex of the hub
}

// New makes a hub without servers.
func New() *Hub {
	return &Hub{
		changed: make(chan struct{}), targets: make(map[string]*targets), leaders: make(map[groupKey]*group),
		logs: make(map[string]*log), consumers: make(map[string]*consumer),
		queues: make(map[string]*queue), commands: make(map[string]*command),
	}
}

// wake tells all that wait of a change. The caller holds the mutex.
func (h *Hub) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// await waits until ready, which is called with the mutex held, returns true, or ctx ends.
func (h *Hub) await(ctx context.Context, ready func() bool) error {
	for {
		h.mu.Lock()
		if ready() {
			h.mu.Unlock()
			return nil
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Serve lets the handlers of a server be called.
func (h *Hub) Serve(in *inmemory.Server) (stop func(ctx context.Context)) {
	s := &server{Server: in}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = append(h.servers, s)
	for _, service := range in.Services {
		h.targetsOf(service.Spec.Name).add(s, service)
		h.stand(s, service)
		h.workCommands(service)
	}
	for _, sub := range in.Subscriptions {
		h.subscribe(s, sub)
	}
	h.wake()
	return func(ctx context.Context) { h.stop(ctx, s) }
}

// stop takes nothing new to a server and waits for what runs.
func (h *Hub) stop(ctx context.Context, s *server) {
	h.mu.Lock()
	s.stopping = true
	h.servers = slices.DeleteFunc(h.servers, func(other *server) bool { return other == s })
	for _, service := range s.Services {
		h.targetsOf(service.Spec.Name).remove(s)
	}
	h.unsubscribe(s)
	h.wake()
	h.mu.Unlock()
	_ = h.await(ctx, func() bool { return !h.worksFor(s) })
	idle := make(chan struct{})
	go func() { s.calls.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	h.resign(s)
}

// worksFor reports whether a handler of an event or a command runs in a server. The caller
// holds the mutex.
func (h *Hub) worksFor(s *server) bool {
	for _, c := range h.consumers {
		for _, d := range c.pending {
			if d.by == s {
				return true
			}
		}
	}
	for _, q := range h.queues {
		if q.running[s] > 0 {
			return true
		}
	}
	return false
}

// Settle waits until nothing is under way: no handler of an event or a command runs, and
// none is due. What waits for a time to come, or for a subscriber or a worker that is not
// there, is not waited for.
func (h *Hub) Settle(ctx context.Context) error {
	return h.await(ctx, func() bool { return h.running == 0 && !h.due(time.Now()) })
}

// due reports whether something could begin now. The caller holds the mutex.
func (h *Hub) due(now time.Time) bool {
	for _, c := range h.consumers {
		if c.next(now) != nil {
			return true
		}
	}
	for _, q := range h.queues {
		if c, _ := h.nextCommand(q, now); c != nil {
			return true
		}
	}
	return false
}

// at calls f, with the mutex held, when the time has come.
func (h *Hub) at(when time.Time, f func()) {
	time.AfterFunc(time.Until(when), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		f()
		h.wake()
	})
}

// Published returns the events that were published, in order.
func (h *Hub) Published() []*Message { return copyOf(h, &h.published) }

// Sent returns the commands that were sent, in order.
func (h *Hub) Sent() []*Message { return copyOf(h, &h.sent) }

// DeadLetters returns what was given up, in order.
func (h *Hub) DeadLetters() []*DeadLetter { return copyOf(h, &h.dead) }

func copyOf[T any](h *Hub, list *[]T) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(*list)
}
