//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
)

const (
	// leaderWithin bounds every failover; three-node stores take seconds.
	leaderWithin = 60 * time.Second
	// unmeasured is what a round returns that has nothing to measure.
	unmeasured = time.Duration(-1)
)

// calm begins a round: all is well, and what comes from here on is the fault's.
func calm(ctx context.Context, w *world) (*candidate, uint64, error) {
	leader, term, err := w.settle(ctx)
	if err != nil {
		return nil, 0, err
	}
	w.fault()
	if r, err := w.record(ctx); err == nil {
		w.log.Debug("well", "leader", leader.order.Instance, "term", term, "probers", r.Probers)
	}
	return leader, term, nil
}

// kill ends the leader at once.
func kill(ctx context.Context, w *world) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.kill()
	replied, err := w.newLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), w.replace(ctx, leader, "")
}

// stop lets the leader stop by itself.
func stop(ctx context.Context, w *world) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := leader.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	replied, err := w.newLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	if err := leader.finish(ctx); err != nil {
		return 0, err
	}
	records, err := history.Read(leader.order.History)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if r.Kind == history.Ended && r.Term == term {
			at = max(at, r.End)
		}
	}
	return time.Duration(replied - at), w.replace(ctx, leader, "")
}

// first measures a world that has just begun.
func first(ctx context.Context, w *world) (time.Duration, error) {
	replied, err := w.newLeader(ctx, 0)
	if err != nil {
		return 0, err
	}
	began := w.firstReady(w.candidates)
	_, _, err = calm(ctx, w)
	return time.Duration(replied - began), err
}

// firstReady is when the first of these candidates was running.
func (w *world) firstReady(candidates []*candidate) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	began := int64(0)
	for _, c := range candidates {
		if at := w.ready[c.child]; at != 0 && (began == 0 || at < began) {
			began = at
		}
	}
	return began
}

// freeze stops the leader, sends it requests that wait in its socket, and lets it
// go on when another one leads.
func freeze(ctx context.Context, w *world) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := leader.signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	if err := w.flood(leader, term); err != nil {
		return 0, err
	}
	replied, err := w.newLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	wait.For(ctx, anyUpTo(300*time.Millisecond))
	if err := w.flood(leader, term); err != nil {
		return 0, err
	}
	return time.Duration(replied - at), leader.signal(syscall.SIGCONT)
}

// flap stops the leader again and again for less than its lease.
func flap(ctx context.Context, w *world) (time.Duration, error) {
	leader, _, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for range 5 {
		wait.For(ctx, 50*time.Millisecond+anyUpTo(350*time.Millisecond))
		if err := leader.signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
		wait.For(ctx, 20*time.Millisecond+anyUpTo(w.election.Lease*5/8))
		if err := leader.signal(syscall.SIGCONT); err != nil {
			return 0, err
		}
	}
	return w.recovery(ctx, history.Now())
}

// quota lets the leader run for 20 of every 100 ms. Signals do that on every
// machine, and to an idle leader too, which a CPU quota would not.
func quota(ctx context.Context, w *world) (time.Duration, error) {
	leader, _, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for range 30 {
		if err := leader.signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
		wait.For(ctx, 80*time.Millisecond)
		if err := leader.signal(syscall.SIGCONT); err != nil {
			return 0, err
		}
		wait.For(ctx, 20*time.Millisecond)
	}
	return w.recovery(ctx, history.Now())
}

// recovery is how long after a time the next call that began after now was
// accepted, whoever leads.
func (w *world) recovery(ctx context.Context, from int64) (time.Duration, error) {
	replied, err := w.nextReply(ctx, leaderWithin)
	return time.Duration(replied - from), err
}

// blackhole holds up what goes over the leader's connection, and lets it all
// through when another one leads.
func blackhole(there, back bool) func(context.Context, *world) (time.Duration, error) {
	return func(ctx context.Context, w *world) (time.Duration, error) {
		leader, term, err := calm(ctx, w)
		if err != nil {
			return 0, err
		}
		at := history.Now()
		if there {
			leader.proxy.There.Shut()
		}
		if back {
			leader.proxy.Back.Shut()
		}
		replied, err := w.newLeader(ctx, term)
		wait.For(ctx, anyUpTo(300*time.Millisecond))
		leader.proxy.There.Open()
		leader.proxy.Back.Open()
		return time.Duration(replied - at), err
	}
}

// sameName kills the leader and starts another process under its name at once.
func sameName(ctx context.Context, w *world) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.kill()
	if err := w.replace(ctx, leader, leader.order.Instance); err != nil {
		return 0, err
	}
	replied, err := w.newLeader(ctx, term)
	return time.Duration(replied - at), err
}

// startTogether kills all candidates and starts as many at the same instant.
func startTogether(ctx context.Context, w *world) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for len(w.candidates) > 0 {
		c := w.candidates[0]
		c.kill()
		w.remove(c)
	}
	for range w.setup.candidates {
		if _, err := w.addCandidate(""); err != nil {
			return 0, err
		}
	}
	replied, err := w.newLeader(ctx, term)
	return time.Duration(replied - w.firstReady(w.candidates)), err
}

// quietTime is how long the quiet scenario watches.
const quietTime = 60 * time.Second

// quiet does nothing: whatever callers see is needless.
func quiet(ctx context.Context, w *world) (time.Duration, error) {
	if _, _, err := w.settle(ctx); err != nil {
		return 0, err
	}
	wait.For(ctx, quietTime)
	return unmeasured, ctx.Err()
}

func anyUpTo(d time.Duration) time.Duration { return rand.N(d) }
