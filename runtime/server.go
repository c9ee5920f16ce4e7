package aegis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/monitor"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/work"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Server is one running instance of one or several services. Register the
// services, then call Run. A Server is safe for concurrent use.
type Server struct {
	host
	roster
	registration
	state atomic.Int32 // a State; roster.mu is held while it becomes StateStarting

	// These are set when Run starts, and not changed after that.
	routes      handling.Table[route]
	pool        *handling.Pool
	calls       *handling.Subscriptions // those that deliver to the pool
	cancels     []*nats.Subscription    // to the cancels of calls
	pulse       handling.Pulse
	elector     *leader.Elector // nil without single active methods
	leaderships []*leadership

	replies handling.Replies
	monitor *monitor.Monitor
	streams rpcstream.Server
	changes leadershipChanges
}

// host is what the parts of a server have in common.
type host struct {
	conn    *Conn
	cfg     serverConfig
	logger  *slog.Logger // names the instance
	process string       // a random name, new at each start, where the instance's name may stay
	clock   election.Clock
	parts   parts.Set
	hearing *handling.Hearing // set when Run starts
	alone   *work.Alone       // lets the handlers of suspect events and commands run alone

	base       context.Context //nolint:containedctx // what handlers' contexts derive from; set when Run starts
	cancelBase context.CancelFunc
	expired    atomic.Bool // the grace period is over: no handler starts any more
}

// NewServer makes a server on a connection. It refuses a NATS connection with
// the NoEcho option: a server has to hear itself.
func NewServer(conn *Conn, opts ...ServerOption) (*Server, error) {
	if conn == nil {
		return nil, errors.New("aegis: the connection of a server is nil")
	}
	if conn.nc.Opts.NoEcho {
		return nil, errors.New("aegis: the NATS connection has the NoEcho option, and a server has to hear its own messages; connect without nats.NoEcho()")
	}
	s := &Server{
		host: host{
			conn: conn, process: rand.Text(), clock: election.NewClock(), alone: work.NewAlone(),
			cfg: serverConfig{
				grace: 30 * time.Second, logger: conn.logger, heartbeat: registry.DefaultHeartbeat,
				window: defaultWindow(), maxStreams: 10_000, streamGrace: time.Second,
			},
		},
		registration: registration{taken: make(chan error, 1)},
	}
	if err := applyOptions(opts, func(o ServerOption) error { return o.applyServer(&s.cfg) }); err != nil {
		return nil, err
	}
	s.cfg.instance = cmp.Or(s.cfg.instance, conn.standing.instance)
	s.cfg.named = s.cfg.instance != ""
	if !s.cfg.named {
		s.cfg.instance = conn.standing.makeUp()
	}
	s.logger = s.cfg.logger.With("instance", s.cfg.instance)
	s.replies = handling.Replies{Bus: conn.bus, Logger: s.logger, Instance: s.cfg.instance}
	s.monitor = monitor.New(monitor.Options{
		Checks: &s.cfg.checks, MemoryLimit: s.cfg.memoryLimit, Interval: s.cfg.heartbeat, Logger: s.logger,
		Hidden:  conn.void.Found,
		Changed: func(c registry.Condition) { s.registrar.SetCondition(c) },
	})
	s.setState(StateInit)
	return s, nil
}

// Instance returns the name of this instance.
func (s *Server) Instance() string { return s.cfg.instance }

// Origin returns what the connection of the server says of the process, see WithZone,
// WithNode, WithBuild and WithLabels.
func (s *Server) Origin() registry.Origin { return s.conn.standing.origin }

// State returns where the server is in its life.
func (s *Server) State() State { return State(s.state.Load()) }

// setState moves the server to its next state, and tells the registry and the hooks.
func (s *Server) setState(state State) {
	s.state.Store(int32(state))
	s.registerState(state)
	for _, hook := range s.cfg.hooks {
		hook(state)
	}
}

// register adds a service, and the workloads that workOf makes for its commands.
func (s *Server) register(service *service, workOf func(*Server, *service) []workload) error {
	if err := service.complete(); err != nil {
		return err
	}
	return s.beforeRun("register "+service.desc.Name, func() error {
		for _, other := range s.services {
			if other.desc.Name == service.desc.Name {
				return fmt.Errorf("aegis: %s is registered already", service.desc.Name)
			}
		}
		service.logMissing(s.logger)
		s.services = append(s.services, service)
		s.work = append(s.work, workOf(s, service)...)
		return nil
	})
}

// Run serves until ctx ends. Then it stops gracefully: it takes no new calls, waits
// for the handlers that run, and returns nil. If the grace period (default 30 s)
// passes before they are finished, their contexts end, they are logged, and Run
// returns an error that names them.
//
// It also returns an error if it cannot start (NATS refuses a subscription,
// nothing is registered), if it was called before, wrapping ErrInstanceTaken, if
// another process has the instance's name, and, wrapping ErrConnClosed, if the
// connection is closed under it. A lost connection is no error: Run goes on and
// serves again once it is back.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	if m := s.conn.memory(); m.Memory != nil {
		return m.run(ctx, s)
	}
	s.setState(StateStarting)
	s.makeDescriptors()
	s.prepare()
	var chores sync.WaitGroup
	stopPulse := make(chan struct{}) // closed below
	chores.Go(func() { s.pulse.Run(stopPulse, s.eachSecond) })
	monitored, stopMonitor := context.WithCancel(context.Background())
	defer stopMonitor()
	err := s.start(ctx)
	switch {
	case err == nil:
		s.announce()
		s.setState(StateRunning)
		chores.Go(func() { s.monitor.Run(monitored) })
		err = s.serveUntil(ctx)
	case ctx.Err() != nil:
		err = nil // the program stopped the server before it served, which is a stop like any other
	case s.conn.closed():
		err = fmt.Errorf("%w: %w", ErrConnClosed, err)
	}
	s.setState(StateStopping)
	err = errors.Join(err, s.drain())
	// Pauses, callers that have gone, and checks matter as long as handlers run.
	close(stopPulse)
	stopMonitor()
	chores.Wait()
	s.hearing.Close()
	s.pool.WaitForCallers()
	s.changes.Close() // those who watch the leaderships have seen the last change
	s.setState(StateStopped)
	return err
}

// begin closes the roster. It returns an error if Run was called before, or has nothing
// to run.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.State() != StateInit {
		return fmt.Errorf("aegis: Run was called before; the server is %s", s.State())
	}
	if len(s.services) == 0 && len(s.work) == 0 {
		return errors.New("aegis: nothing is registered with the server")
	}
	if err := s.cfg.interceptors.Check(ErrInvalidOption, "the server"); err != nil {
		return err
	}
	s.state.Store(int32(StateStarting))
	return nil
}

// prepare makes the parts that serve, before any message arrives.
func (s *Server) prepare() {
	s.base, s.cancelBase = context.WithCancel(context.Background())
	handlers := 0
	for _, service := range s.services {
		handlers += int(service.max)
		s.prepareOverload(service)
		// The registry shows whether NATS hides that nobody listens to calls, and to
		// calls to leaders: those who call this service have to know.
		s.conn.void.Use(wire.KindCall)
		if service.onLeading != nil {
			s.conn.void.Use(wire.KindLead)
		}
	}
	s.pulse.Init(s.conn.nc, s.conn.subjects.Live(s.process), s.cfg.instance, s.logger)
	s.pulse.Beat = func(service string) []byte { return s.registrar.Beat(service) }
	s.hearing = handling.NewHearing(handling.HearingOptions{
		NATS: s.conn.nc, Denials: s.conn.bus.Denials, Parts: &s.parts, Flush: s.conn.flush,
		Logger: func() *slog.Logger { return s.logger },
	})
	s.prepareStreams()
	s.pool = handling.NewPool(handlers, s.serve)
	s.calls = handling.NewSubscriptions(s.conn.nc, s.pool)
}

// serveUntil waits, while the workers serve, until ctx ends or the server can serve no
// longer.
func (s *Server) serveUntil(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.conn.ctx.Done():
		return ErrConnClosed
	case err := <-s.taken:
		return instanceTaken(err)
	}
}

// eachSecond is called once a second until the last handler has returned.
func (s *Server) eachSecond(now time.Time) {
	s.checkHearing()
	s.hearing.Tick(s.base, now)
	s.pool.Tidy(now)
	s.pool.AskCallers(s.base, now, s.callerGone)
}

// checkHearing finds out whether the server hears all subjects that it has subscribed to.
func (s *Server) checkHearing() {
	listening := s.parts.Shared("listening", func() *slog.Logger { return s.logger })
	switch err := s.conn.bus.Deaf(); {
	case err != nil && s.State() == StateRunning:
		listening.Fails(err)
	case err == nil:
		listening.Works()
	}
}
