// Package load makes calls by a plan and measures them: in an open loop, where a shape
// says when each call is to start whatever became of the calls before it, and in a closed
// loop, where callers call one after the other. It knows neither NATS nor Aegis, and takes
// its clock as a parameter.
//
// Open loop latencies count from the intended start of a call, so that a stall of the
// target is seen by all calls that it delays, not only by those in flight. That corrects
// what Gil Tene named coordinated omission ("How NOT to Measure Latency", 2013).
package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Target is the system under load.
type Target interface {
	// Call makes call number n and waits for its end. Calls of one worker follow one
	// another; different workers call at the same time.
	Call(ctx context.Context, worker int, n int64) error
}

// Plan is one run of calls.
type Plan struct {
	// Shape says when calls start; nil makes a closed loop.
	Shape Shape
	// Callers bounds the calls in flight. In a closed loop all of them call all the time.
	Callers int
	// Duration is when the last call may start, since the start of the run; 0 for no bound.
	Duration time.Duration
	// Requests is how many calls are made; 0 for no bound. One of the two bounds is needed.
	Requests int64
	// First is the number of the first call.
	First int64
	// Drain is how long calls may take after the duration. The calls that it ends are
	// unfinished, and count in no other figure. Without a duration calls are awaited
	// however long they take.
	Drain time.Duration
}

// Outcome is how a run ended.
type Outcome struct {
	// Elapsed is how long the run took: its duration where that ended it, else the time
	// until its last call ended, or until it was interrupted.
	Elapsed time.Duration
	// Started is how many calls started, of which Unfinished had no end.
	Started, Unfinished int64
	// Interrupted: the context ended before the plan did.
	Interrupted bool
}

var errPlan = errors.New("load: a plan needs callers, and a bound on its duration or its requests")

// Run makes the calls of a plan and records them. It returns when no call is in flight.
// When ctx ends, calls in flight are ended too.
func Run(ctx context.Context, plan *Plan, target Target, rec *Recorder, clock Clock) (Outcome, error) {
	if plan.Callers < 1 || plan.Duration <= 0 && plan.Requests <= 0 {
		return Outcome{}, errPlan
	}
	calls, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{plan: plan, target: target, clock: clock, begin: clock.Now(), calls: calls, turnstile: newTurnstile()}
	rec.begin(plan.Callers, r.begin, plan.Duration)
	var callers sync.WaitGroup
	for i := range plan.Callers {
		callers.Go(func() {
			if plan.Shape == nil {
				r.callClosed(i, rec)
			} else {
				r.callOpen(i, rec)
			}
		})
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.endStragglers(cancel)
	}()
	callers.Wait()
	cancel()
	<-drained
	out := Outcome{Started: r.started.Load(), Unfinished: r.unfinished.Load(), Interrupted: ctx.Err() != nil}
	switch last := rec.lastEnd(); {
	case out.Interrupted || last == 0:
		out.Elapsed = clock.Now() - r.begin
	case r.allStarted.Load():
		out.Elapsed = last
	default:
		out.Elapsed = plan.Duration
	}
	return out, nil
}

// run is a plan while it is carried out.
type run struct {
	plan   *Plan
	target Target
	clock  Clock
	begin  time.Duration
	calls  context.Context //nolint:containedctx // the context of all calls, which lives as long as the run

	next       atomic.Int64 // number of the next call of a closed loop, from 0
	turnstile  turnstile    // of an open loop
	started    atomic.Int64
	unfinished atomic.Int64
	allStarted atomic.Bool // before the duration was over
}

// endStragglers ends the calls that are in flight when the drain time is over.
func (r *run) endStragglers(cancel context.CancelFunc) {
	if r.plan.Duration > 0 && r.clock.SleepUntil(r.calls, r.begin+r.plan.Duration+r.plan.Drain) {
		cancel()
	}
}

// callClosed calls one time after the other. The end of a call is the start of the next.
func (r *run) callClosed(worker int, rec *Recorder) {
	var made int64
	defer func() { r.started.Add(made) }()
	done := r.calls.Done()
	for start := r.clock.Now(); ; {
		select {
		case <-done:
			return
		default:
		}
		if r.plan.Duration > 0 && start-r.begin >= r.plan.Duration {
			return
		}
		n := r.next.Add(1) - 1
		if r.plan.Requests > 0 && n >= r.plan.Requests-1 {
			r.allStarted.Store(true)
			if n >= r.plan.Requests {
				return
			}
		}
		made++
		err := r.target.Call(r.calls, worker, r.plan.First+n)
		now := r.clock.Now()
		if err != nil && r.calls.Err() != nil {
			r.unfinished.Add(1)
			return
		}
		rec.record(worker, start, start, now, err)
		start = now
	}
}

// callOpen makes the calls that it gets through the turnstile.
func (r *run) callOpen(worker int, rec *Recorder) {
	for {
		n, intended, ok := r.turnstile.pass(r)
		if !ok {
			return
		}
		if n == r.plan.Requests-1 {
			r.allStarted.Store(true)
		}
		r.started.Add(1)
		start := r.clock.Now()
		err := r.target.Call(r.calls, worker, r.plan.First+n)
		if err != nil && r.calls.Err() != nil {
			r.unfinished.Add(1)
			return
		}
		rec.record(worker, intended, start, r.clock.Now(), err)
	}
}

// turnstile lets one call start after the other, each at its time. The caller that is in
// it sleeps until the next start; the others wait for the turnstile, so that there is one
// timer, however many callers there are. Where all callers were busy when a call was to
// start, the next caller that is free finds that its time is past, and starts it at once.
type turnstile struct {
	next chan int64 // holds the number of the next call, from 0, unless a caller is inside
}

func newTurnstile() turnstile {
	t := turnstile{next: make(chan int64, 1)}
	t.next <- 0
	return t
}

// pass returns the number of a call that is to start now, and when it was to start. It
// returns false when no further call starts.
func (t *turnstile) pass(r *run) (n int64, intended time.Duration, ok bool) {
	select {
	case n = <-t.next:
	case <-r.calls.Done():
		return 0, 0, false
	}
	if intended, ok = r.await(n); !ok {
		t.next <- n // for the next caller to find the same
		return 0, 0, false
	}
	t.next <- n + 1
	return n, intended, true
}

// await sleeps until call n of an open loop is to start, if it is to.
func (r *run) await(n int64) (intended time.Duration, ok bool) {
	if r.plan.Requests > 0 && n >= r.plan.Requests {
		return 0, false
	}
	at := r.plan.Shape.Start(n)
	if r.plan.Duration > 0 && at >= r.plan.Duration {
		return 0, false
	}
	if at == Never {
		r.allStarted.Store(true)
		return 0, false
	}
	intended = r.begin + at
	return intended, r.clock.SleepUntil(r.calls, intended)
}
