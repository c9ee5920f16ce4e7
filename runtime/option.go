package aegis

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
)

// ErrInvalidOption is wrapped by what a constructor returns for an option whose
// value is out of range.
var ErrInvalidOption = errors.New("aegis: invalid option")

// ConnOption is an option of Connect and NewConn.
type ConnOption interface{ applyConn(c *connConfig) error }

// ServerOption is an option of NewServer.
type ServerOption interface{ applyServer(c *serverConfig) error }

// ServiceOption is an option of the generated Register functions.
type ServiceOption interface{ applyService(c *serviceConfig) error }

// ClientOption is an option of the generated New...Client functions.
type ClientOption interface{ applyClient(c *clientConfig) error }

// CallOption is an option of one call; given to a New...Client function it is
// the default of all calls.
type CallOption interface {
	ClientOption
	applyCall(c *callConfig) error
}

type (
	connOption    func(*connConfig) error
	serverOption  func(*serverConfig) error
	serviceOption func(*serviceConfig) error
	clientOption  func(*clientConfig) error
	callOption    func(*callConfig) error
)

func (o connOption) applyConn(c *connConfig) error          { return o(c) }
func (o serverOption) applyServer(c *serverConfig) error    { return o(c) }
func (o serviceOption) applyService(c *serviceConfig) error { return o(c) }
func (o clientOption) applyClient(c *clientConfig) error    { return o(c) }
func (o callOption) applyCall(c *callConfig) error          { return o(c) }
func (o callOption) applyClient(c *clientConfig) error      { return o(&c.call) }

func invalidOption(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidOption, fmt.Sprintf(format, args...))
}

// nilOption is the error for option number i of a list.
func nilOption(i int) error {
	return invalidOption("option %d is nil; leave it out", i+1)
}

// WithNamespace sets the first token of every subject, so that several
// environments can share one NATS account: 1 to 32 characters of A-Z a-z 0-9 _.
// Clients and servers find each other only within one namespace. Default
// "aegis".
func WithNamespace(namespace string) ConnOption {
	return connOption(func(c *connConfig) error {
		if !wire.ValidNamespace(namespace) {
			return invalidOption("namespace %q: use 1 to 32 characters of A-Z a-z 0-9 _", namespace)
		}
		c.namespace = namespace
		return nil
	})
}

// WithNATSOptions passes options to nats.Connect: TLS, credentials, name and so
// on. They win over the defaults of Connect. NewConn refuses it, as there the
// connection exists already.
func WithNATSOptions(opts ...nats.Option) ConnOption {
	return connOption(func(c *connConfig) error {
		c.nats = append(c.nats, opts...)
		return nil
	})
}

// LoggerOption is what WithLogger returns: an option of connections and servers.
type LoggerOption struct{ logger *slog.Logger }

// WithLogger sets where a connection or a server logs. Default: slog.Default()
// for a connection, its connection's logger for a server.
func WithLogger(logger *slog.Logger) LoggerOption { return LoggerOption{logger} }

func (o LoggerOption) check() error {
	if o.logger == nil {
		return invalidOption("the logger is nil; use slog.New(slog.DiscardHandler) for silence")
	}
	return nil
}

func (o LoggerOption) applyConn(c *connConfig) error {
	c.logger = o.logger
	return o.check()
}

func (o LoggerOption) applyServer(c *serverConfig) error {
	c.logger = o.logger
	return o.check()
}

// InterceptorsOption is what WithInterceptors returns: an option of servers,
// services, subscribers, clients and publishers.
type InterceptorsOption struct{ interceptors []Interceptor }

// WithInterceptors adds interceptors, the first the outermost. Given more than
// once, later ones come further inside. It is an option of
//
//   - NewServer: around the handlers of all its services, commands and events,
//   - the generated Register functions: around those of one service, its commands
//     included, inside those of the server,
//   - the generated Subscribe functions: around the handlers of these events, inside
//     those of the server,
//   - the generated New...Client functions: around calls, streams, broadcasts and the
//     sending of commands,
//   - the generated New...Publisher functions: around publishing.
func WithInterceptors(interceptors ...Interceptor) InterceptorsOption {
	return InterceptorsOption{interceptors}
}

func (o InterceptorsOption) appendTo(list *[]Interceptor) error {
	for i, in := range o.interceptors {
		if in == nil {
			return invalidOption("interceptor %d is nil", i)
		}
	}
	*list = append(*list, o.interceptors...)
	return nil
}

func (o InterceptorsOption) applyServer(c *serverConfig) error { return o.appendTo(&c.interceptors) }

func (o InterceptorsOption) applyService(c *serviceConfig) error { return o.appendTo(&c.interceptors) }

func (o InterceptorsOption) applyClient(c *clientConfig) error { return o.appendTo(&c.interceptors) }

// WithInstance names the instance: 1 to 64 characters of A-Z a-z 0-9 _ -. The
// name must be unique among the running instances of a service. Default, and
// what "" means: the first label of the host's name and six random characters.
func WithInstance(name string) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if name != "" && !wire.ValidInstance(name) {
			return invalidOption("instance %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", name)
		}
		c.instance = name
		return nil
	})
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

// WithStateHook calls f with each state of the server's life, in order:
// StateInit from within NewServer, the others from within Run. f must return;
// Run waits for it. Several hooks are called in the order given.
func WithStateHook(f func(State)) ServerOption {
	return serverOption(func(c *serverConfig) error {
		if f == nil {
			return invalidOption("the state hook is nil")
		}
		c.hooks = append(c.hooks, f)
		return nil
	})
}

// WithMaxConcurrency sets how many unary handlers of the service run at once in
// this instance; further calls are refused at once with CodeResourceExhausted
// and ReasonOverloaded, and clients try them elsewhere. 1 to 1,000,000, as in the
// proto. It wins over the proto's max_concurrency. Default 256.
func WithMaxConcurrency(n int) ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		if n < 1 || n > spec.MaxMaxConcurrency {
			return invalidOption("max concurrency %d: use 1 to %d", n, spec.MaxMaxConcurrency)
		}
		c.maxConcurrency, c.callsAtOnce = n, true
		return nil
	})
}

// WithElection sets how fast a lost leader of the service is replaced: what is
// not zero wins over the proto's election option. The presets are
// election.Aggressive.Config() and its like. The error of an invalid
// combination wraps ErrInvalidOption and election.ErrInvalidConfig.
func WithElection(cfg election.Config) ServiceOption {
	return serviceOption(func(c *serviceConfig) error {
		c.election = cfg
		return nil
	})
}

// WithRetryBudget bounds what a client sends again, so that its retries cannot
// multiply an overload: within any 10 s at most ratio times its calls, and at
// least minPerSecond a second. Retries of overloaded calls and of idempotent
// ones of unknown outcome are charged; those that found nobody listening, or a
// stopping instance, are free. A call whose retry the budget forbids ends with
// the error that it has. Default 0.2 and 10.
func WithRetryBudget(ratio float64, minPerSecond int) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if !(ratio >= 0 && ratio <= 100) || minPerSecond < 0 {
			return invalidOption("retry budget %v, %d: use a ratio of 0 to 100 and a minimum of at least 0", ratio, minPerSecond)
		}
		c.budgetRatio, c.budgetMin = ratio, minPerSecond
		return nil
	})
}

// WaitForReady makes a call for which nobody listens go on trying until its
// deadline. Default: it ends as ErrNoResponders after two more attempts, 10 and
// 40 ms later. Given to a broadcast, which is sent once, it is an error with
// CodeInvalidArgument.
func WaitForReady() CallOption {
	return callOption(func(c *callConfig) error {
		c.waitForReady, c.given.retry = true, "WaitForReady"
		return nil
	})
}

// ToInstance sends a call to the instance of this name and to no other. If it
// is not there, the call ends as ErrNoResponders. If it is found to be gone
// before it replies, the call ends at once, with CodeUnavailable and
// ReasonInstanceLost; for that the connection watches the service, as for
// RoundRobin, but no call waits for it. It cannot be combined with an option for a
// strategy, see QueueGroup.
func ToInstance(name string) CallOption {
	return callOption(func(c *callConfig) error {
		if !wire.ValidInstance(name) {
			return invalidOption("instance %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", name)
		}
		if err := c.given.selects(toInstance); err != nil {
			return err
		}
		c.instance = name
		return nil
	})
}

// MaxAttempts sets how often a call is tried in all, the first time included: 1
// to 100. It wins over the proto's retry option. Default 3. An instance that was
// picked, and turned out not to listen or to be stopping, does not count. Given to a
// broadcast, which is sent once, it is an error with CodeInvalidArgument.
func MaxAttempts(n int) CallOption {
	return callOption(func(c *callConfig) error {
		if n < 1 || n > 100 {
			return invalidOption("max attempts %d: use 1 to 100", n)
		}
		c.maxAttempts, c.given.retry = n, "MaxAttempts"
		return nil
	})
}
