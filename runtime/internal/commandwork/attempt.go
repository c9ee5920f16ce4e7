package commandwork

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Attempt is the clock of one attempt to work a command. It ends an attempt that takes
// too long without a report, and stores that an attempt runs which takes longer than a
// moment. It is safe for concurrent use.
type Attempt struct {
	o AttemptOptions

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	ends  time.Time // when the attempt has taken too long
	told  bool      // that the attempt runs is stored, or about to be
	over  bool      // the handler has returned
}

// AttemptOptions are the options of BeginAttempt.
type AttemptOptions struct {
	Results   *commandstore.Results
	ResultTTL string // how long progress is kept
	ID        string // the command's
	Send      string // the command's wire.HeaderSend
	Number    int    // the attempt's, from 1 on
	Timeout   time.Duration
	// Cancel ends the attempt's context.
	Cancel context.CancelCauseFunc
	// Logger returns the logger of the method.
	Logger func() *slog.Logger
}

// TimeoutError is why the context of an attempt ends that takes too long.
type TimeoutError struct{ after time.Duration }

// Error says how long the attempt took.
func (e *TimeoutError) Error() string {
	return "the attempt took longer than " + e.after.String() + " without a report"
}

// Is has the error found as context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// attemptOver is the status of a report that comes too late.
var attemptOver = status.New(status.FailedPrecondition, "the attempt is over")

// markAfter is how long an attempt runs before that is stored: short attempts need not
// pay for it.
const markAfter = time.Second

// BeginAttempt starts the clock of an attempt; End follows.
func BeginAttempt(o AttemptOptions) *Attempt {
	a := &Attempt{o: o}
	a.mu.Lock() // the timer may be early
	defer a.mu.Unlock()
	a.ends = time.Now().Add(o.Timeout)
	a.timer = time.AfterFunc(min(markAfter, o.Timeout), a.ring)
	return a
}

// ring is called by the timer: markAfter the beginning to store that the attempt runs,
// and at its end to cancel it.
func (a *Attempt) ring() {
	a.mu.Lock()
	left, told, ended := time.Until(a.ends), a.told, a.over
	a.told = true
	if !ended && left > 0 {
		a.timer.Reset(left)
	}
	a.mu.Unlock()
	switch {
	case ended:
	case left <= 0:
		a.o.Cancel(&TimeoutError{a.o.Timeout})
	case !told:
		a.markRunning()
	}
}

// markRunning stores that the attempt runs.
func (a *Attempt) markRunning() {
	ctx, cancel := context.WithTimeout(context.Background(), stores.DefaultTimeout)
	defer cancel()
	if why := a.store(ctx, nil, ""); why != nil && why != attemptOver {
		a.o.Logger().Warn("aegis: it cannot be stored that a command runs", "command", a.o.ID, "err", why.Text())
	}
}

// Report stores how far the handler is and starts the attempt's timeout anew. ctx has a
// deadline.
func (a *Attempt) Report(ctx context.Context, percent float64, message string) *status.Status {
	a.mu.Lock()
	if a.over {
		a.mu.Unlock()
		return attemptOver
	}
	a.ends = time.Now().Add(a.o.Timeout)
	a.timer.Reset(a.o.Timeout)
	a.told = true // by the report
	a.mu.Unlock()
	return a.store(ctx, &percent, message)
}

func (a *Attempt) store(ctx context.Context, percent *float64, message string) *status.Status {
	a.mu.Lock()
	ended := a.over
	a.mu.Unlock()
	if ended {
		return attemptOver
	}
	deadline, _ := ctx.Deadline()
	p := &wire.Progress{Send: a.o.Send, Attempt: a.o.Number, Percent: percent, Message: message}
	return a.o.Results.PutProgress(ctx, a.o.ID, a.o.ResultTTL, p, deadline)
}

// End stops the clock.
func (a *Attempt) End() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.timer.Stop()
}
