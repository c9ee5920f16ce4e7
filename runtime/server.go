package aegis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/internal/work"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Server is one running instance of one or several services. Register the
// services, then call Run. A Server is safe for concurrent use.
type Server struct {
	conn    *Conn
	cfg     serverConfig
	logger  *slog.Logger
	process string // new at each start, where the instance's name may stay

	roster
	state atomic.Int32

	// Set when Run starts, and not changed after that.
	clock       election.Clock
	routes      routes
	liveSubject string
	pool        *handling.Pool
	subs        []*nats.Subscription // those that deliver to the pool
	cancelSubs  []*nats.Subscription
	base        context.Context //nolint:containedctx // what handlers' contexts derive from
	cancelBase  context.CancelFunc
	elector     *leader.Elector // nil without single active methods
	leaderships []*leadership
	registrar   *registrar.Registrar
	micro       *micro.Responder // nil: NATS micro tools do not see the server
	taken       chan error       // another process has the instance's name
	unheard     unheard          // what NATS refuses while it starts
	monitor     *monitor
	parts       parts.Set
	alone       *work.Alone // of handlers of what is stored

	streams serverStreams
	changes leadershipChanges
	pause   handling.PauseDetector
	expired atomic.Bool // the grace period is over
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
		conn: conn, process: rand.Text(), clock: election.NewClock(), taken: make(chan error, 1), alone: work.NewAlone(),
		cfg: serverConfig{
			grace: 30 * time.Second, logger: conn.logger, heartbeat: registry.DefaultHeartbeat,
			window: defaultWindow(), maxStreams: 10_000, streamGrace: time.Second,
		},
	}
	s.monitor = newMonitor(s)
	for i, o := range opts {
		if o == nil {
			return nil, nilOption(i)
		}
		if err := o.applyServer(&s.cfg); err != nil {
			return nil, err
		}
	}
	s.cfg.named = s.cfg.instance != ""
	if !s.cfg.named {
		s.cfg.instance = defaultInstance()
	}
	s.logger = s.cfg.logger.With("instance", s.cfg.instance)
	s.setState(StateInit)
	return s, nil
}

// defaultInstance is the first label of the host's name and six random
// characters.
func defaultInstance() string {
	host, _ := os.Hostname() // without one, the random part is the name
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if r < 0x80 && (wire.IsAlphanumeric(byte(r)) || r == '_' || r == '-') {
			return r
		}
		return '-'
	}, host)
	if host == "" {
		host = "host"
	}
	return host[:min(len(host), 57)] + "-" + rand.Text()[:6]
}

// Instance returns the name of this instance.
func (s *Server) Instance() string { return s.cfg.instance }

// State returns where the server is in its life.
func (s *Server) State() State { return State(s.state.Load()) }

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
	return s.beforeRun("register "+service.spec.Name, func() error {
		for _, other := range s.services {
			if other.spec.Name == service.spec.Name {
				return fmt.Errorf("aegis: %s is registered already", service.spec.Name)
			}
		}
		service.told(s)
		s.services = append(s.services, service)
		s.work = append(s.work, workOf(s, service)...)
		return nil
	})
}

// Run serves until ctx ends. Then it stops gracefully: it takes no new calls,
// finishes those that run, and returns nil. If the grace period (default 30 s)
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
	s.setState(StateStarting)
	s.prepare()
	var chores sync.WaitGroup
	stop := make(chan struct{})
	chores.Go(func() { s.chores(stop) })
	observed, blind := context.WithCancel(context.Background())
	defer blind()
	err := s.start(ctx)
	switch {
	case err == nil:
		s.announce()
		s.setState(StateRunning)
		chores.Go(func() { s.monitor.run(observed) })
		err = s.serveUntil(ctx)
	case ctx.Err() != nil:
		err = nil // stopped before it served is stopped
	case s.conn.closed():
		err = fmt.Errorf("%w: %w", ErrConnClosed, err)
	}
	s.setState(StateStopping)
	err = errors.Join(err, s.drain())
	close(stop)
	blind()
	chores.Wait()
	s.pool.WaitForCallers()
	s.changes.close()
	s.setState(StateStopped)
	return err
}

// begin makes sure that Run runs once, and that nothing is registered any more.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.State() != StateInit {
		return fmt.Errorf("aegis: Run was called before; the server is %s", s.State())
	}
	if len(s.services) == 0 && len(s.work) == 0 {
		return errors.New("aegis: nothing is registered with the server")
	}
	s.state.Store(int32(StateStarting))
	return nil
}

// prepare makes what serves, before anything arrives.
func (s *Server) prepare() {
	s.base, s.cancelBase = context.WithCancel(context.Background())
	s.liveSubject = s.conn.subjects.Live(s.process)
	handlers := 0
	for _, service := range s.services {
		handlers += int(service.max)
		s.prepareOverload(service)
		// For the registry: it is callers who are in trouble.
		s.conn.void.Use(wire.KindCall)
		if service.onLeading != nil {
			s.conn.void.Use(wire.KindLead)
		}
	}
	s.pause.Init(time.Now())
	s.prepareStreams()
	s.pool = handling.NewPool(handlers, s.serve)
}

// start subscribes to everything, and waits until NATS has said yes.
func (s *Server) start(ctx context.Context) error {
	defer s.watchSubscriptions()()
	before := s.conn.nc.LastError()
	if err := s.elect(); err != nil {
		return fmt.Errorf("aegis: election: %w", err)
	}
	s.addStaticRoutes()
	// Whoever finds this instance's name in the registry asks there whether it
	// lives.
	if err := s.deliver(s.liveSubject, ""); err != nil {
		return fmt.Errorf("aegis: subscribe: %w", err)
	}
	if err := s.confirm(ctx, before); err != nil {
		return err
	}
	if err := s.claim(ctx); err != nil {
		return err
	}
	s.monitor.round(ctx)
	before = s.conn.nc.LastError() // a user without JetStream may serve
	if err := s.subscribe(); err != nil {
		return fmt.Errorf("aegis: subscribe: %w", err)
	}
	if err := s.confirm(ctx, before); err != nil {
		return err
	}
	before = s.conn.nc.LastError()
	if err := s.startWork(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx, before); err != nil {
		return err
	}
	s.answerMicro()
	s.comparePatterns()
	s.registrar.Start()
	if s.elector != nil {
		if err := s.elector.Start(); err != nil {
			return fmt.Errorf("aegis: election: %w", err)
		}
	}
	return nil
}

// confirm waits until NATS has taken everything sent so far, and returns an
// error if it has refused any of it.
func (s *Server) confirm(ctx context.Context, before error) error {
	if err := s.conn.flush(ctx); err != nil {
		return fmt.Errorf("aegis: start: NATS does not answer: %w", err)
	}
	s.conn.bus.Denials.Settle(ctx)
	after := s.conn.nc.LastError()
	if after == before || !denials.RefusesSubscription(after) { //nolint:errorlint // is it another one?
		after = s.unheard.err()
	}
	if after != nil {
		return fmt.Errorf("aegis: NATS does not allow this user what a server needs, see docs/protocol.md: %w", after)
	}
	if err := s.conn.bus.Deaf(); err != nil {
		return fmt.Errorf("aegis: start: %w", err)
	}
	return nil
}

func (s *Server) subscribe() error {
	if err := s.listenToStreams(); err != nil {
		return err
	}
	for _, service := range s.services {
		name := service.spec.Name
		sub, err := s.conn.nc.Subscribe(s.conn.subjects.Cancel(name), s.canceled)
		if err != nil {
			return err
		}
		s.cancelSubs = append(s.cancelSubs, sub)
		if err := s.deliver(s.conn.subjects.Instance(s.cfg.instance, name, "*"), ""); err != nil {
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

// deliver subscribes the pool to a subject.
func (s *Server) deliver(subject, queue string) error {
	sub, err := s.conn.nc.ChanQueueSubscribe(subject, queue, s.pool.Queue())
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	s.subs = append(s.subs, sub)
	return nil
}

// serveUntil waits while the workers serve.
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

// chores does what is to be done every so often, until the last handler has
// returned.
func (s *Server) chores(stop <-chan struct{}) {
	ticker := time.NewTicker(handling.TickInterval)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		s.tick(time.Now(), n)
	}
}

// everySecond is how many ticks that is.
const everySecond = int(time.Second / handling.TickInterval)

// tick is called every 100 ms.
func (s *Server) tick(now time.Time, n int) {
	if payload := s.pause.Ticked(now); payload != nil {
		s.logger.Warn("aegis: the process was paused; calls of unknown age are refused unless they are idempotent")
		if err := s.conn.nc.Publish(s.liveSubject, payload); err != nil {
			s.logger.Warn("aegis: cannot send to itself", "err", err)
		}
	}
	if n%everySecond == 0 {
		s.checkHearing()
		s.pool.Tidy(now)
		s.pool.AskCallers(s.base, now, s.callerGone)
	}
}

// drain finishes what runs, within the grace period.
func (s *Server) drain() error {
	defer s.cancelBase()
	grace, cancel := context.WithTimeout(context.Background(), s.cfg.grace)
	defer cancel()
	for _, l := range s.leaderships {
		s.subs = append(s.subs, l.resign()...)
	}
	s.stopWork(grace)
	s.unsubscribe(grace)
	calls := s.pool.Close()
	s.endLeadersStreams()
	err := s.finish(grace, calls, s.streams.led, s.workDone(true))
	s.release() // before all else: somebody waits to lead
	s.stopStreams(grace)
	if err == nil {
		err = s.finish(grace, s.streams.idle, s.workDone(false))
	} else { // the contexts of these have ended as well
		abandon(s.streams.idle, s.workDone(false))
	}
	s.endWork()
	s.deregister()
	s.silenceStreams()
	for _, sub := range s.cancelSubs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	if s.conn.nc.IsConnected() {
		// The last replies; a connection that hangs must not hold up the stop.
		flush, cancel := context.WithTimeout(context.Background(), max(time.Second, s.cfg.grace/10))
		defer cancel()
		if ferr := s.conn.flush(flush); ferr != nil && !s.conn.closed() {
			s.logger.Warn("aegis: the last replies may be lost", "err", ferr)
		}
	}
	return err
}

// unsubscribe returns when nothing can be queued any more. nats.go lets in what
// NATS has sent before it knew.
func (s *Server) unsubscribe(grace context.Context) {
	closed := make(chan struct{}, len(s.subs))
	draining, connected := 0, s.conn.nc.IsConnected()
	for _, sub := range s.subs {
		// nats.go may call it twice, and does so with its connection locked: it
		// must never block.
		var once sync.Once
		done := func(string) { once.Do(func() { closed <- struct{}{} }) }
		sub.SetClosedHandler(done)
		if connected && sub.Drain() == nil { // else there is nothing to wait for
			draining++
			if !sub.IsValid() { // it was withdrawn before
				done("")
			}
		}
	}
	for range draining {
		select {
		case <-closed:
			continue
		case <-s.conn.ctx.Done():
		case <-grace.Done():
		}
		break
	}
	for _, sub := range s.subs {
		if sub.IsValid() {
			_ = sub.Unsubscribe() // what matters is that nats.go lets go of the queue, which it does first
		}
	}
}

// releaseTime bounds how long a stopping server tries to release its
// leaderships when its grace period leaves it less.
const releaseTime = time.Second

func (s *Server) release() {
	if s.elector == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	if s.elector.Started() {
		for _, l := range s.leaderships {
			l.release(ctx)
		}
	}
	s.elector.Stop()
}
