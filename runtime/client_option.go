package aegis

import (
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/caller"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

// ClientOption is an option of the generated New...Client functions.
type ClientOption interface{ applyClient(c *clientConfig) error }

// CallOption is an option of one call; given to a New...Client function it is
// the default of all calls.
type CallOption interface {
	ClientOption
	applyCall(c *callConfig) error
}

func (o InterceptorsOption) applyClient(c *clientConfig) error { return o.appendTo(&c.interceptors) }

// WithRetryBudget bounds what a client sends again, so that its retries cannot
// multiply an overload: within any 10 s at most ratio times as many retries as calls, and at
// least minPerSecond retries a second. Retries of calls that an overloaded server has
// refused, and of idempotent calls of unknown outcome, are charged; retries of calls that
// found no server, or a stopping instance, are free. A call whose retry the budget forbids ends with
// the error of its last attempt; if its connection was lost, it waits on for its reply. The ratio
// is 0 to 100. Default 0.2 and 10.
func WithRetryBudget(ratio float64, minPerSecond int) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if !(ratio >= 0 && ratio <= 100) || minPerSecond < 0 {
			return invalidOption("retry budget %v, %d: use a ratio of 0 to 100 and a minimum of at least 0", ratio, minPerSecond)
		}
		c.budgetRatio, c.budgetMin = ratio, minPerSecond
		return nil
	})
}

// WaitForReady makes a call for which no server listens go on trying until its deadline.
// Default: the call ends as ErrNoResponders after two more attempts, 10 and 40 ms later. Given to a broadcast, which is sent once, it is an error with
// CodeInvalidArgument.
func WaitForReady() CallOption {
	return callOption(func(c *callConfig) error {
		c.WaitForReady, c.given.Retry = true, "WaitForReady"
		return nil
	})
}

// ToInstance sends a call to the instance of this name and to no other. If the instance
// is not there, the call ends as ErrNoResponders. If the instance is found to be gone
// before it replies, the call ends at once, with CodeUnavailable and
// ReasonInstanceLost; for that the connection watches the service, as for
// RoundRobin, but no call waits until the instances are known. ToInstance cannot be combined with an option for a
// strategy, see QueueGroup.
func ToInstance(name string) CallOption {
	return callOption(func(c *callConfig) error {
		if !wire.ValidInstance(name) {
			return invalidOption("instance %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", name)
		}
		c.Instance = name
		return refusedOption(c.given.Select(caller.ToInstance))
	})
}

// MaxAttempts sets how often a call is tried in all, the first time included: 1
// to 100. It wins over the proto's retry option. Default 3. An attempt at an instance that
// a strategy has picked, and that did not listen or was stopping, does not count. Given to a
// broadcast, which is sent once, it is an error with CodeInvalidArgument.
func MaxAttempts(n int) CallOption {
	return callOption(func(c *callConfig) error {
		if n < 1 || n > 100 {
			return invalidOption("max attempts %d: use 1 to 100", n)
		}
		c.MaxAttempts, c.given.Retry = n, "MaxAttempts"
		return nil
	})
}

type (
	clientOption func(*clientConfig) error
	callOption   func(*callConfig) error
)

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }
func (o callOption) applyCall(c *callConfig) error       { return o(c) }
func (o callOption) applyClient(c *clientConfig) error   { return o(&c.call) }

// clientConfig is what the options of a client have set.
type clientConfig struct {
	call         callConfig
	interceptors interceptors
	budgetRatio  float64
	budgetMin    int
	storage      Storage // of commands
}

// callConfig is what the options of a call have set, on top of those of its client.
type callConfig struct {
	caller.Choice

	window       flow.Window
	untilReplies int           // of a broadcast; 0: no such rule
	untilSilence time.Duration // of a broadcast; 0: no such rule
	given        caller.Given  // of the list that was applied last
}

func (o StorageOption) applyClient(c *clientConfig) error {
	c.storage = o.storage
	return o.storage.checkCommands()
}

func (o WindowOption) applyClient(c *clientConfig) error { return o.applyCall(&c.call) }

func (o WindowOption) applyCall(c *callConfig) error {
	c.given.Window = "WithStreamWindow"
	return o.apply(&c.window)
}

// checkClientOptions refuses options that would have no effect on any method of the
// service.
func checkClientOptions(s *spec.Service, cfg *clientConfig) error {
	if cfg.storage != (Storage{}) && s.CommandStorage == nil {
		return invalidOption("WithStorage: %s has no command; the storage of events is an option of publishers and subscribers", s.Name)
	}
	return refusedOption(cfg.call.given.CheckService(s))
}
