package spec

import (
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Retry is a policy of attempts: how many there are, and the pauses between them.
type Retry struct {
	MaxAttempts    int           // the first one included
	InitialBackoff time.Duration // the pause before the second attempt; it doubles with each further one
	MaxBackoff     time.Duration // the longest pause
}

// The attempts where the .proto file gives no number, and the most that it may give.
const (
	defaultCallAttempts    = 3
	defaultCommandAttempts = 5
	defaultEventAttempts   = 10
	maxAttempts            = 100
)

// neverRetried is the policy of methods whose calls are tried once.
var neverRetried = Retry{MaxAttempts: 1}

// retry checks a policy and fills in the defaults.
func (c *checker) retry(at Place, opts *aegisv1.Retry, defaultAttempts int) Retry {
	before := len(c.problems)
	r := Retry{MaxAttempts: defaultAttempts}
	if opts != nil && opts.MaxAttempts != nil {
		r.MaxAttempts = int(c.integer(at.Field("max_attempts"), uint64(opts.GetMaxAttempts()), maxAttempts))
	}
	initial, longest := at.Field("initial_backoff"), at.Field("max_backoff")
	r.InitialBackoff = c.duration(initial, opts.GetInitialBackoff(), initialBackoffRange, 100*time.Millisecond)
	r.MaxBackoff = c.duration(longest, opts.GetMaxBackoff(), maxBackoffRange, 5*time.Second)
	switch {
	case len(c.problems) > before:
		// Some values are defaults in place of wrong ones, so do not compare them.
	case r.MaxAttempts == 1 && opts.GetInitialBackoff() != nil:
		c.addf(initial, "there is no pause after the only attempt; leave it out, or write max_attempts: 2 or more")
	case r.MaxAttempts == 1 && opts.GetMaxBackoff() != nil:
		c.addf(longest, "there is no pause after the only attempt; leave it out, or write max_attempts: 2 or more")
	case r.InitialBackoff > r.MaxBackoff && opts.GetMaxBackoff() == nil:
		c.addf(initial, "%s exceeds the default max_backoff of %s; write max_backoff as well, at least %s",
			short(r.InitialBackoff), short(r.MaxBackoff), short(r.InitialBackoff))
	case r.InitialBackoff > r.MaxBackoff:
		c.addf(longest, "%s is less than the initial_backoff of %s; write at least that",
			short(r.MaxBackoff), short(r.InitialBackoff))
	}
	return r
}
