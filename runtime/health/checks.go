package health

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// Result is the result of a check. The zero Result says that all is well.
type Result struct {
	// Penalty lowers the score, by 0 to 100 points.
	Penalty float64
	// Unhealthy keeps the instance from getting calls.
	Unhealthy bool
	// Reason says why, for a person.
	Reason string
}

// Check looks at something that the service needs. It should return when ctx ends. A check
// that does not return in time counts as unhealthy until it does, and is not called again
// before that. A panic counts as unhealthy.
type Check func(ctx context.Context) Result

// Needs returns a check that finds the instance unhealthy while f returns an
// error, such as Needs(db.PingContext).
func Needs(f func(ctx context.Context) error) Check {
	if f == nil {
		return nil // which Add refuses
	}
	return func(ctx context.Context) Result {
		if err := f(ctx); err != nil {
			return Result{Unhealthy: true, Reason: err.Error()}
		}
		return Result{}
	}
}

// MaxReason is how many bytes of a reason are kept.
const MaxReason = 200

// Finding is the result of a check that found something.
type Finding struct {
	Check     string  `json:"check"`
	Penalty   float64 `json:"penalty,omitempty"`
	Unhealthy bool    `json:"unhealthy,omitempty"`
	Reason    string  `json:"reason,omitempty"`
}

// penalty returns how much the finding lowers the score: no check raises it.
func (f Finding) penalty() float64 {
	if math.IsNaN(f.Penalty) {
		return 0
	}
	return min(max(f.Penalty, 0), fullScore)
}

var (
	// ErrCheckName is returned by [Checks.Add] for a name that is empty or taken.
	ErrCheckName = errors.New("health: the name of a check is empty or taken")
	// ErrNilCheck is returned by [Checks.Add] for a check that is nil.
	ErrNilCheck = errors.New("health: the check is nil")
)

// Checks are the users' checks of an instance. The zero Checks has none. It is safe for
// concurrent use.
type Checks struct {
	mu  sync.Mutex // guards all, and the fields of the checks in it
	all []*namedCheck
}

// namedCheck is a check that was added, and its last run.
type namedCheck struct {
	name   string
	check  Check
	busy   chan struct{} // closed by the run at its end; nil while the check does not run
	result Result        // of the last run that has ended
}

// Add adds a check. The errors are [ErrCheckName] and [ErrNilCheck].
func (c *Checks) Add(name string, check Check) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if check == nil {
		return ErrNilCheck
	}
	taken := slices.ContainsFunc(c.all, func(r *namedCheck) bool { return r.name == name })
	if name == "" || taken {
		return fmt.Errorf("%w: %q", ErrCheckName, name)
	}
	c.all = append(c.all, &namedCheck{name: name, check: check})
	return nil
}

// Run runs all checks at once and waits for them until ctx ends. It returns a finding for
// each check that found something or has not returned, in the order in which the checks
// were added; nil if all is well. There is at most one goroutine per check at any time,
// also if checks hang.
func (c *Checks) Run(ctx context.Context) []Finding {
	c.mu.Lock()
	all := slices.Clone(c.all)
	waits := make([]chan struct{}, len(all))
	for i, r := range all {
		waits[i] = c.start(ctx, r)
	}
	c.mu.Unlock()
	var findings []Finding
	for i, r := range all {
		if f := (Finding{Check: r.name, Unhealthy: true, Reason: "no answer in time"}); !awaitRun(ctx, waits[i]) {
			findings = append(findings, f)
			continue
		}
		if f := c.finding(r); f != (Finding{Check: r.name}) {
			findings = append(findings, f)
		}
	}
	return findings
}

// start starts a check unless it runs, and returns the channel that is closed at its end.
// c.mu is held.
func (c *Checks) start(ctx context.Context, r *namedCheck) chan struct{} {
	if r.busy != nil {
		return r.busy
	}
	done := make(chan struct{})
	r.busy = done
	go func() {
		// This result is that of a check that calls runtime.Goexit.
		result := Result{Unhealthy: true, Reason: "the check ended its goroutine"}
		defer func() {
			if value := recover(); value != nil {
				result = Result{Unhealthy: true, Reason: fmt.Sprint("panic: ", value)}
			}
			c.mu.Lock()
			r.busy, r.result = nil, result
			c.mu.Unlock()
			close(done)
		}()
		result = r.check(ctx)
	}()
	return done
}

// finding returns the result of the last run. Its Check alone is set if all is well.
func (c *Checks) finding(r *namedCheck) Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := Finding{Check: r.name, Penalty: r.result.Penalty, Unhealthy: r.result.Unhealthy, Reason: r.result.Reason}
	f.Penalty = f.penalty() // JSON has no NaN
	f.Reason = strings.ToValidUTF8(f.Reason[:min(len(f.Reason), MaxReason)], "")
	return f
}

// awaitRun waits for the end of a run until ctx ends, and reports whether it has ended. A
// run that has ended by then counts even if ctx ended first.
func awaitRun(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}
