package chaos

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// traffic makes calls at a steady rate, and keeps those of a fault. It is safe for
// concurrent use.
type traffic struct {
	clock   load.Clock
	rec     *load.Recorder
	call    func(ctx context.Context, worker int, n int64) error
	stopped atomic.Bool
	unknown atomic.Int64 // failed calls whose handler may have run

	mu     sync.Mutex // guards the fields below
	flying map[int64]time.Duration
	ended  []ended // since the last reset
}

// ended is a call that has ended.
type ended struct {
	start, end time.Duration
	err        error
}

func newTraffic(call func(ctx context.Context, worker int, n int64) error) *traffic {
	classify := func(err error) uint8 { return uint8(aegis.CodeOf(err)) }
	return &traffic{
		clock: load.Wall(), rec: load.NewRecorder(classify, 0, time.Second), call: call, flying: make(map[int64]time.Duration),
	}
}

// untilStopped is a shape that ends when somebody says so.
type untilStopped struct {
	load.Shape

	stopped *atomic.Bool
}

// Start returns when a call starts.
func (s untilStopped) Start(n int64) time.Duration {
	if s.stopped.Load() {
		return load.Never
	}
	return s.Shape.Start(n)
}

// run makes calls until stop is called and no call is in flight, or until ctx ends.
func (t *traffic) run(ctx context.Context, rate float64) error {
	plan := &load.Plan{
		Shape:    untilStopped{load.Constant(rate), &t.stopped},
		Callers:  mostInFlight,
		Requests: math.MaxInt64, // until it is stopped
	}
	_, err := load.Run(ctx, plan, t, t.rec, t.clock)
	return err
}

// stop has no further call start.
func (t *traffic) stop() { t.stopped.Store(true) }

// Call makes a call and keeps what became of it.
func (t *traffic) Call(ctx context.Context, worker int, n int64) error {
	start := t.clock.Now()
	t.mu.Lock()
	t.flying[n] = start
	t.mu.Unlock()
	err := t.call(ctx, worker, n)
	end := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flying, n)
	if err != nil && ctx.Err() != nil {
		return err // the command ends
	}
	t.ended = append(t.ended, ended{start, end, err})
	if err != nil && aegis.MayHaveRun(err) {
		t.unknown.Add(1)
	}
	return err
}

// reset forgets the calls that have ended.
func (t *traffic) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = nil
}

// since returns the calls that have ended since the last reset, and when the oldest call
// in flight started; that is later than all if there is none.
func (t *traffic) since() (all []ended, oldest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest = load.Never
	for _, start := range t.flying {
		oldest = min(oldest, start)
	}
	return slices.Clip(t.ended), oldest
}
