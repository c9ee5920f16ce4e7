package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bubble is the clock of a synctest bubble, in which time goes on only when all sleep.
type bubble struct{ origin time.Time }

func (b bubble) Now() time.Duration { return time.Since(b.origin) }

func (b bubble) SleepUntil(ctx context.Context, t time.Duration) bool {
	rest := t - b.Now()
	if rest <= 0 {
		return true
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type targetFunc func(ctx context.Context, worker int, n int64) error

func (f targetFunc) Call(ctx context.Context, worker int, n int64) error { return f(ctx, worker, n) }

// takes is a target whose calls take a time.
func takes(d time.Duration) targetFunc {
	return func(ctx context.Context, _ int, _ int64) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errRefused = errors.New("refused")

func classify(err error) uint8 {
	if errors.Is(err, errRefused) {
		return 7
	}
	return 2
}

// play runs a plan in a bubble.
func play(t *testing.T, plan Plan, target Target, expected time.Duration) (Outcome, *Recording) {
	t.Helper()
	var out Outcome
	rec := NewRecorder(classify, expected, 10*time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		var err error
		out, err = Run(t.Context(), &plan, target, rec, bubble{time.Now()})
		require.NoError(t, err)
	})
	return out, rec.Recording()
}

func percentile(r *Recording, p float64) time.Duration {
	return time.Duration(r.Latency.ValueAtPercentile(p))
}

// near allows for the three digits of a histogram.
func near(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InEpsilon(t, float64(want), float64(got), 0.01, "%v and not %v", got, want)
}

func TestAClosedLoopCallsAsFastAsTheAnswersCome(t *testing.T) {
	t.Parallel()
	out, rec := play(t, Plan{Callers: 4, Duration: time.Second}, takes(10*time.Millisecond), 0)
	require.Equal(t, int64(400), rec.Calls)
	require.Equal(t, int64(400), out.Started)
	require.Zero(t, rec.Errors)
	require.Equal(t, time.Second, out.Elapsed)
	near(t, 10*time.Millisecond, percentile(rec, 50))
	near(t, 10*time.Millisecond, percentile(rec, 100))
}

func TestAClosedLoopMakesNoMoreThanItsRequests(t *testing.T) {
	t.Parallel()
	var calls, sum atomic.Int64
	target := targetFunc(func(_ context.Context, _ int, n int64) error {
		calls.Add(1)
		sum.Add(n)
		time.Sleep(time.Millisecond)
		return nil
	})
	out, rec := play(t, Plan{Callers: 8, Requests: 1001, First: 5}, target, 0)
	require.Equal(t, int64(1001), calls.Load())
	require.Equal(t, int64(1001), rec.Calls)
	require.Equal(t, int64(1001*500+5*1001), sum.Load(), "each number once, from the first on")
	require.Equal(t, 126*time.Millisecond, out.Elapsed)
}

func TestAnOpenLoopStartsTheCallsOfItsShape(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]Shape{
		"constant": Constant(250), "ramp": Ramp(10, 500, 2*time.Second), "spike": Spike(50, 900, time.Second, 300*time.Millisecond),
		"wave": Wave(200, 100, time.Second), "burst": Burst(40, 300*time.Millisecond),
	} {
		out, rec := play(t, Plan{Shape: shape, Callers: 50, Duration: 3 * time.Second}, takes(time.Millisecond), 0)
		require.InDelta(t, shape.Calls(3*time.Second), float64(rec.Calls), 1, name)
		require.Equal(t, rec.Calls, out.Started, name)
		near(t, time.Millisecond, percentile(rec, 100))
		require.Less(t, rec.Lag.Max(), int64(100), name)
	}
}

// stalling answers in a millisecond, but nobody between the seconds 2 and 3.
func stalling(context.Context, int, int64) error {
	time.Sleep(time.Millisecond)
	if s := time.Duration(time.Now().UnixNano() % int64(10*time.Second)); s >= 2*time.Second && s < 3*time.Second {
		time.Sleep(3*time.Second - s)
	}
	return nil
}

func TestAnOpenLoopSeesAStallInThePercentiles(t *testing.T) {
	t.Parallel()
	for _, callers := range []int{1, 20, 500} {
		plan := Plan{Shape: Constant(100), Callers: callers, Duration: 10 * time.Second}
		_, rec := play(t, plan, targetFunc(stalling), 0)
		require.Equal(t, int64(1000), rec.Calls)
		// A tenth of the calls was to start in the stalled second, each with what was left of it.
		near(t, time.Millisecond, percentile(rec, 85))
		require.InDelta(t, 0.5, percentile(rec, 95).Seconds(), 0.08, "%d callers", callers)
		require.InDelta(t, 0.9, percentile(rec, 99).Seconds(), 0.08, "%d callers", callers)
	}
}

func TestAClosedLoopSeesAStallOnlyWithTheExpectedInterval(t *testing.T) {
	t.Parallel()
	plan := Plan{Callers: 1, Duration: 10 * time.Second}
	paced := func(ctx context.Context, worker int, n int64) error {
		err := stalling(ctx, worker, n)
		return err
	}
	_, rec := play(t, plan, targetFunc(paced), 0)
	near(t, time.Millisecond, percentile(rec, 99))
	_, rec = play(t, plan, targetFunc(paced), time.Millisecond)
	require.InDelta(t, 0.9, percentile(rec, 99).Seconds(), 0.05)
	require.InDelta(t, 9000, float64(rec.Calls), 5, "calls that were only computed do not count as calls")
}

func TestCallsThatCannotStartAreLateAndNotLost(t *testing.T) {
	t.Parallel()
	// 100 calls a second of 50 ms each are five callers' work; there are two.
	_, rec := play(t, Plan{Shape: Constant(100), Callers: 2, Requests: 100}, takes(50*time.Millisecond), 0)
	require.Equal(t, int64(100), rec.Calls)
	near(t, 1470*time.Millisecond, time.Duration(rec.Lag.Max()))
	near(t, 1520*time.Millisecond, percentile(rec, 100))
}

func TestErrorsAreCountedByTheirOutcome(t *testing.T) {
	t.Parallel()
	target := targetFunc(func(_ context.Context, _ int, n int64) error {
		time.Sleep(time.Millisecond)
		switch n % 10 {
		case 0:
			time.Sleep(time.Second)
			return errRefused
		case 1:
			return errors.New("another")
		}
		return nil
	})
	_, rec := play(t, Plan{Callers: 3, Requests: 1000}, target, 0)
	require.Equal(t, int64(200), rec.Errors)
	require.Equal(t, int64(100), rec.Codes[7])
	require.Equal(t, int64(100), rec.Codes[2])
	require.Equal(t, map[uint8]string{7: "refused", 2: "another"}, rec.Examples)
	require.Equal(t, int64(800), rec.Succeeded().TotalCount())
	near(t, 1001*time.Millisecond, percentile(rec, 95))
	near(t, time.Millisecond, time.Duration(rec.Succeeded().Max()))
}

func TestCallsInFlightAtTheEndAreAwaited(t *testing.T) {
	t.Parallel()
	plan := Plan{Callers: 5, Duration: time.Second, Drain: time.Second}
	out, rec := play(t, plan, takes(1500*time.Millisecond), 0)
	require.Equal(t, int64(5), rec.Calls)
	require.Equal(t, int64(5), rec.Late)
	require.Zero(t, out.Unfinished)
	require.Equal(t, time.Second, out.Elapsed)
	require.False(t, out.Interrupted)
}

// untilCanceled is a target whose calls do not end by themselves.
func untilCanceled(ctx context.Context, _ int, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCallsOfAGivenNumberAreAwaited(t *testing.T) {
	t.Parallel()
	for _, shape := range []Shape{nil, Constant(100)} {
		out, rec := play(t, Plan{Shape: shape, Callers: 5, Requests: 5}, takes(time.Hour), 0)
		require.Equal(t, int64(5), rec.Calls)
		require.Zero(t, out.Unfinished)
		require.InDelta(t, time.Hour.Seconds(), out.Elapsed.Seconds(), 0.05)
		out, _ = play(t, Plan{Shape: shape, Callers: 5, Requests: 5, Duration: time.Minute}, takes(time.Hour), 0)
		require.Equal(t, int64(5), out.Started)
		_, rec = play(t, Plan{Shape: shape, Callers: 5, Requests: 5, Duration: time.Minute, Drain: time.Minute}, takes(90*time.Second), 0)
		require.Equal(t, int64(5), rec.Calls)
	}
}

func TestCallsThatOutlastTheDrainAreUnfinishedAndNoErrors(t *testing.T) {
	t.Parallel()
	for _, shape := range []Shape{nil, Constant(4)} {
		plan := Plan{Shape: shape, Callers: 4, Duration: time.Second, Drain: 2 * time.Second}
		out, rec := play(t, plan, targetFunc(untilCanceled), 0)
		require.Equal(t, int64(4), out.Unfinished)
		require.Zero(t, rec.Calls)
		require.False(t, out.Interrupted)
	}
}

func TestAnInterruptEndsTheCallsAndKeepsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	for _, shape := range []Shape{nil, Constant(1000)} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			target := targetFunc(func(ctx context.Context, _ int, _ int64) error {
				select {
				case <-time.After(time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			rec := NewRecorder(classify, 0, 10*time.Millisecond)
			out, err := Run(ctx, &Plan{Shape: shape, Callers: 3, Duration: time.Hour}, target, rec, bubble{time.Now()})
			require.NoError(t, err)
			require.True(t, out.Interrupted)
			require.Equal(t, int64(6), rec.Recording().Calls)
			require.Equal(t, int64(3), out.Unfinished)
			require.Equal(t, 2500*time.Millisecond, out.Elapsed)
		})
	}
}

func TestARunWithoutABoundIsRefused(t *testing.T) {
	t.Parallel()
	rec := NewRecorder(classify, 0, time.Second)
	_, err := Run(t.Context(), &Plan{Callers: 1}, takes(0), rec, Wall())
	require.ErrorIs(t, err, errPlan)
	_, err = Run(t.Context(), &Plan{Requests: 1}, takes(0), rec, Wall())
	require.ErrorIs(t, err, errPlan)
}

func TestTheClockOfTheMachineSleepsLongEnoughAndWakesForAnEnd(t *testing.T) {
	t.Parallel()
	clock := Wall()
	until := clock.Now() + 5*time.Millisecond
	require.True(t, clock.SleepUntil(t.Context(), until))
	require.GreaterOrEqual(t, clock.Now(), until)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, clock.SleepUntil(ctx, clock.Now()+time.Hour))
}
