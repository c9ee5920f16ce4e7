package aegis

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/offer"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// ServerOption is an option of NewServer.
type ServerOption interface{ applyServer(c *serverConfig) error }

// ServiceOption is an option of the generated Register functions.
type ServiceOption interface{ applyService(c *serviceConfig) error }

func (o LoggerOption) applyServer(c *serverConfig) error {
	c.logger = o.logger
	return o.check()
}

func (o InterceptorsOption) applyServer(c *serverConfig) error { return o.appendTo(&c.interceptors) }

func (o InterceptorsOption) applyService(c *serviceConfig) error { return o.appendTo(&c.interceptors) }

func (o InstanceOption) applyServer(c *serverConfig) error {
	c.instance = o.name
	return o.check()
}

// WithGracePeriod sets for how long a server that stops waits for its running
// handlers; then their contexts end, and they are named in the log. Default
// 30 s; 0 means not to wait.
func WithGracePeriod(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if d < 0 {
			return invalidOption("grace period %v: must not be negative", d)
		}
		c.grace = d
		return nil
	})
}

// WithStateHook has the server call f with each state of its life, in order:
// StateInit from within NewServer, the others from within Run. f must return, as
// Run waits for it. Several hooks are called in the order given. Default: none.
func WithStateHook(f func(State)) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if f == nil {
			return invalidOption("the state hook is nil")
		}
		c.hooks = append(c.hooks, f)
		return nil
	})
}

// WithElection sets how fast a lost leader of the service is replaced. Fields that are
// not zero win over the proto's election option, which is the default. The presets are
// election.Aggressive.Config() and its like. The error of an invalid
// combination wraps ErrInvalidOption and election.ErrInvalidConfig.
func WithElection(cfg election.Config) ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		c.election = cfg
		return nil
	})
}

// serverConfig is what the options of a server set.
type serverConfig struct {
	instance     string
	named        bool // the program has given the instance its name, which survives a restart
	grace        time.Duration
	logger       *slog.Logger
	interceptors interceptors
	hooks        []func(State)
	redact       redactor

	window      flow.Window // for the messages that clients send in streams
	maxStreams  int
	streamGrace time.Duration

	leaderBucket   BucketConfig
	registryBucket BucketConfig
	heartbeat      time.Duration

	checks      health.Checks
	memoryLimit uint64 // 0: the default
}

type (
	serverOption  func(*serverConfig) error
	serviceOption func(*serviceConfig) error
)

func (o serverOption) applyServer(c *serverConfig) error    { return o(c) }
func (o serviceOption) applyService(c *serviceConfig) error { return o(c) }

// WithMaxStreams sets how many streams a server has open at once, of all its
// services; further ones are refused at once with CodeResourceExhausted and
// ReasonOverloaded, and clients try them elsewhere. 1 to 10,000,000. Default
// 10,000.
func WithMaxStreams(n int) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if n < 1 || n > maxMaxStreams {
			return invalidOption("max streams %d: use 1 to %d", n, maxMaxStreams)
		}
		c.maxStreams = n
		return nil
	})
}

// WithStreamGrace sets for how long a server that stops leaves its streams alone,
// so that short ones are finished. Then it ends those that are open:
// clients get CodeUnavailable with ReasonStopping, and the contexts of the
// handlers end. The grace period is the longest. Default 1 s.
func WithStreamGrace(d time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if d < 0 {
			return invalidOption("stream grace %v: must not be negative", d)
		}
		c.streamGrace = d
		return nil
	})
}

// WithHeartbeat sets how often the instance says that it lives, 100 ms to 1 min:
// processes that watch it take it for gone after three missed heartbeats. A heartbeat is
// one small message per service. Default 2 s.
func WithHeartbeat(interval time.Duration) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if interval < registry.MinHeartbeat || interval > registry.MaxHeartbeat || interval%time.Millisecond != 0 {
			return invalidOption("heartbeat %v: use %v to %v, in whole milliseconds", interval, registry.MinHeartbeat, registry.MaxHeartbeat)
		}
		c.heartbeat = interval
		return nil
	})
}

// serviceConfig is what the options of a registration set.
type serviceConfig struct {
	maxConcurrency int
	interceptors   interceptors
	election       election.Config // a field that is zero is as the proto says
	storage        Storage         // of commands
	offer          offer.Options
	unimplemented  bool
}

// WithCheck adds a check of something that this instance needs, under a name of
// 1 to 64 bytes: health.Needs(db.PingContext), or a function that lowers the
// score. All checks run at the same time, before the server serves and then as often as
// heartbeats are sent. Each has 2 s, or one heartbeat if that is less. Default: none.
//
// While a check says unhealthy, panics or does not answer, selection strategies
// do not pick the instance, and Ready returns an error. The instance stays in the queue
// group, and goes on leading: only the program can know whether it has to stop.
func WithCheck(name string, check health.Check) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if len(name) > maxCheckName {
			return invalidOption("a check's name has %d bytes, at most %d are possible: %.100q", len(name), maxCheckName, name)
		}
		if err := c.checks.Add(name, check); err != nil {
			return fmt.Errorf("%w: check %q: %w", ErrInvalidOption, name, err)
		}
		return nil
	})
}

// WithMemoryLimit sets how many bytes of memory the process may use before the
// health score drops by 10; nothing else happens then. Default 500,000,000.
func WithMemoryLimit(bytes uint64) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if bytes == 0 {
			return invalidOption("a memory limit of 0 bytes; leave it out for the default of %d", uint64(health.DefaultMemoryLimit))
		}
		c.memoryLimit = bytes
		return nil
	})
}

// WithErrorRedactor gives the server one place that decides what the world may read in
// the errors of its handlers. Without it the whole text of an error travels, also
// that of a plain Go error, whatever it says of tables, hosts or people.
//
// The server calls redact with each error that a handler of a call, a stream, a
// broadcast, a command or an event returns, after the interceptors of the server and
// the service, and with the handler's context, so that CallFromContext says which
// method it is. The error that redact returns goes to the caller, into results and
// dead letters, and into the last error that nats micro shows. The server's own log has
// the error of the handler. The server logs such errors only for events and commands:
// redact may log those of calls. A message is not tried again if either of the two
// errors is Permanent.
//
// An *Error that redact returns as it is travels as without the option. If redact
// returns nil or panics, CodeInternal travels, without the text. redact must be safe for
// concurrent use. It does not see errors of the server itself, as after a panic, which
// have no text of a handler, nor those of methods that are not implemented.
// Default: errors travel as they are. A nil redact is an invalid option.
func WithErrorRedactor(redact func(ctx context.Context, err error) error) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if redact == nil {
			return invalidOption("the error redactor is nil; leave the option out")
		}
		c.redact = redact
		return nil
	})
}

func (o WindowOption) applyServer(c *serverConfig) error { return o.apply(&c.window) }

func (o StorageOption) applyService(c *serviceConfig) error {
	c.storage = o.storage
	return o.storage.checkCommands()
}

// ConcurrencyOption is the option that WithMaxConcurrency returns, for services and for
// subscribers.
type ConcurrencyOption struct{ n int }

// WithMaxConcurrency sets how many handlers run at once in this instance. As an option of
// the generated Register functions, n is from 1 to 1,000,000 and bounds
//
//   - the handlers of all unary calls of the service, broadcasts among them; it wins over
//     the proto's max_concurrency, and the default is 256. Further calls are refused at
//     once with CodeResourceExhausted and ReasonOverloaded, and clients try them elsewhere;
//   - the handlers of the commands of each method, at most 10,000; the default is 16.
//     Further commands wait. A leader's commands are worked one after the other.
//
// As an option of the generated Subscribe functions, n is from 1 to 10,000 and bounds the
// handlers of each event; further events wait. The default is 1, one event after the other
// in the order of the stream; for durable events with a key it is the number of partitions,
// and the order of a key is kept however many handlers run.
//
// The error for another n, and for a service with neither a unary call nor a command, wraps
// ErrInvalidOption.
func WithMaxConcurrency(n int) ConcurrencyOption { return ConcurrencyOption{n} }

func (o ConcurrencyOption) check(most int) error {
	if o.n < 1 || o.n > most {
		return invalidOption("max concurrency %d: use 1 to %d", o.n, most)
	}
	return nil
}

func (o ConcurrencyOption) applyService(c *serviceConfig) error {
	c.maxConcurrency, c.offer.MaxConcurrency = o.n, true
	return o.check(spec.MaxMaxConcurrency)
}

// mostHandlers is how many handlers of one event, or of the commands of one method, may run
// at once.
const mostHandlers = 10_000

// defaultCommandConcurrency is how many commands of one method an instance works on at
// once, unless WithMaxConcurrency says otherwise.
const defaultCommandConcurrency = 16
