package election

import (
	"errors"
	"fmt"
	"time"
)

// Limits of a [Config].
const (
	MinLease  = 500 * time.Millisecond
	MaxLease  = 60 * time.Second
	MinWindow = 20 * time.Millisecond
	MinProbe  = 5 * time.Millisecond
)

const (
	// marginPercent covers clocks that run at different rates. Two clocks that
	// are each off by 5 % differ by 1.05/0.95 = 10.6 %, so 12 % covers them.
	marginPercent = 12

	// slowProbe is how often one of the processes probes that the leader has not named as
	// its probers (S6). They take turns, so that the more there are, the less often each
	// probes, down to once in slowestProbe: a leader remembers a probe for MaxLease.
	slowProbe    = 500 * time.Millisecond
	slowestProbe = MaxLease / 2

	// resubscribeAfter is for how long no message to oneself may come back before the
	// liveness subscription is made anew (L6).
	resubscribeAfter = time.Second

	// operationsPerLease is how often the lease is renewed within itself (L2),
	// proofsPerLease how often its bucket is proven (L9), and contactsPerWindow
	// the same for contact (L3).
	operationsPerLease = 4
	proofsPerLease     = 2
	contactsPerWindow  = 4

	// restPace is the time between two messages to itself of a process that rests: it
	// stands by, or leads and was not asked to act for a lease. It is well below
	// resubscribeAfter; a quarter of the lease bounds it as well.
	restPace = 500 * time.Millisecond

	// standWindows is how many windows old the last contact of a standby may
	// be (S1).
	standWindows = 3
)

// Preset is a named choice of durations.
type Preset uint8

const (
	// Balanced has a lease of 2 s. It is the default.
	Balanced Preset = iota
	// Aggressive has a lease of 1 s: a frozen leader is replaced sooner, and a
	// shorter outage of the store ends a term.
	Aggressive
	// Conservative has a lease of 10 s: it rides through the 5 to 8 s that a
	// replicated store needs after it lost its own leader.
	Conservative
)

// Config returns the preset's durations. The act window (100 ms) and the probe
// interval (30 ms) are the same in all presets.
func (p Preset) Config() Config {
	c := Config{Lease: 2 * time.Second, Window: 100 * time.Millisecond, Probe: 30 * time.Millisecond}
	switch p {
	case Aggressive:
		c.Lease = time.Second
	case Conservative:
		c.Lease = 10 * time.Second
	case Balanced:
	}
	return c
}

// Config holds the durations and switches of one candidate. All candidates of a
// group should use the same; while a deploy changes them, each waits the longest
// that it has seen in a record.
type Config struct {
	// Lease is how long a leader may act after its last successful renewal, and
	// with the margin how long the others wait before they take over. A longer
	// one rides through longer outages of the store; a shorter one replaces a
	// frozen leader sooner and writes more (four renewals per lease). From
	// 500 ms to 60 s, in whole milliseconds; default 2 s.
	Lease time.Duration

	// Window is how long a leader may act after it last heard itself through
	// its NATS server, and with the margin how long an early takeover waits. A
	// pause or a stall that is longer suspends the leader. From 20 ms to a
	// quarter of Lease, in whole milliseconds; default 100 ms.
	Window time.Duration

	// Probe is how often each of the leader's two probers asks whether its
	// process is there. From 5 ms to half of Window; default 30 ms.
	Probe time.Duration

	// DisableEarlyTakeover makes the lease decide alone: no probes are sent and
	// a crash is noticed one lease later. Default false.
	DisableEarlyTakeover bool

	// AwaitUnseenRelease makes the candidate wait a whole lease for a release
	// that it did not watch happen. Set it where the store can come back with
	// an older state, which may show a release of long ago. It costs a lease
	// after each full stop of the group. Default false.
	AwaitUnseenRelease bool
}

// pace returns the time between two messages to oneself of a leader that acts (L3).
func (c Config) pace() time.Duration { return c.Window / contactsPerWindow }

// restPace returns the same of a candidate that rests.
func (c Config) restPace() time.Duration { return min(restPace, c.Lease/operationsPerLease) }

// withDefaults fills in the durations that are zero.
func (c Config) withDefaults() Config {
	balanced := Balanced.Config()
	if c.Lease == 0 {
		c.Lease = balanced.Lease
	}
	if c.Window == 0 {
		c.Window = balanced.Window
	}
	if c.Probe == 0 {
		c.Probe = balanced.Probe
	}
	return c
}

// Validate checks the durations against their limits and each other, after
// replacing those that are zero with their defaults. It returns all mistakes at
// once; each wraps [ErrInvalidConfig] and says what to change.
func (c Config) Validate() error {
	c = c.withDefaults()
	return errors.Join(c.checkLease(), c.checkWindow(), c.checkProbe())
}

func (c Config) checkLease() error {
	switch {
	case c.Lease < MinLease:
		return invalid("lease %v is too short: use at least %v", c.Lease, MinLease)
	case c.Lease > MaxLease:
		return invalid("lease %v is too long: use at most %v", c.Lease, MaxLease)
	case c.Lease%time.Millisecond != 0:
		return invalid("lease %v is not in whole milliseconds: use %v", c.Lease, c.Lease.Truncate(time.Millisecond))
	}
	return nil
}

func (c Config) checkWindow() error {
	longest := (c.Lease / 4).Truncate(time.Millisecond)
	switch {
	case c.Window < MinWindow:
		return invalid("window %v is too short: use at least %v", c.Window, MinWindow)
	case c.Window > longest && c.Lease >= MinLease:
		return invalid("window %v is over a quarter of the lease %v: use a window of at most %v, or a lease of at least %v",
			c.Window, c.Lease, longest, 4*c.Window)
	case c.Window%time.Millisecond != 0:
		return invalid("window %v is not in whole milliseconds: use %v", c.Window, c.Window.Truncate(time.Millisecond))
	}
	return nil
}

func (c Config) checkProbe() error {
	switch {
	case c.Probe < MinProbe:
		return invalid("probe interval %v is too short: use at least %v", c.Probe, MinProbe)
	case c.Probe > c.Window/2 && c.Window >= MinWindow:
		return invalid("probe interval %v is over half of the window %v: use an interval of at most %v, or a window of at least %v",
			c.Probe, c.Window, c.Window/2, 2*c.Probe)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalidConfig}, args...)...)
}

// widen adds the margin.
func widen(d time.Duration) time.Duration { return d + d*marginPercent/100 }
