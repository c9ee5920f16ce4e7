//go:build linux

package calls

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/wire"
)

// unmeasured is returned by rounds that have nothing to measure.
const unmeasured = time.Duration(-1)

// calm begins a round. When it returns, all is well, and everything that callers
// notice from then on is the fault's.
func calm(ctx context.Context, w *world.World) (*world.Candidate, uint64, error) {
	leader, term, err := w.Settle(ctx)
	if err != nil {
		return nil, 0, err
	}
	w.OpenWindow()
	if r, err := w.Record(ctx); err == nil {
		w.Log.Debug("well", "leader", leader.Order.Instance, "term", term, "probers", r.Probers)
	}
	return leader, term, nil
}

// kill ends the leader at once.
func kill(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.Kill()
	replied, err := w.NewLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), w.Replace(ctx, leader, "")
}

// stop lets the leader stop by itself.
func stop(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := leader.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	replied, err := w.NewLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	if err := world.Finish(ctx, leader.Process); err != nil {
		return 0, err
	}
	records, err := history.Read(leader.Order.History)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if r.Kind == history.Ended && r.Term == term {
			at = max(at, r.End)
		}
	}
	return time.Duration(replied - at), w.Replace(ctx, leader, "")
}

// handOver has the leader let another candidate lead. No process ends.
func handOver(ctx context.Context, w *world.World) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	subject := wire.NewSubjects(wire.DefaultNamespace).AskLeader(faultv1aegis.FaultServiceName, "default")
	for {
		at := history.Now()
		msg, err := w.Monitor.RequestWithContext(ctx, subject, nil)
		if err != nil {
			return 0, err
		}
		answer, ok := wire.DecodeHandedOver(msg.Data)
		switch {
		case !ok:
			return 0, fmt.Errorf("the answer to a hand-over is %q", msg.Data)
		case answer.Refused == wire.RefusedAlone: // the one before stands back for a lease
			wait.For(ctx, w.Election.Lease/4)
			continue
		case answer.Refused != "" || answer.Next.Term <= term:
			return 0, fmt.Errorf("a hand-over of the term %d was answered with %s", term, msg.Data)
		}
		replied, err := w.NewLeader(ctx, term)
		return time.Duration(replied - at), err
	}
}

// first measures the first election in a world that has just begun.
func first(ctx context.Context, w *world.World) (time.Duration, error) {
	replied, err := w.NewLeader(ctx, 0)
	if err != nil {
		return 0, err
	}
	began := w.FirstReady()
	_, _, err = calm(ctx, w)
	return time.Duration(replied - began), err
}

// freeze stops the leader, sends it requests that wait in its socket, and lets it
// go on when another one leads.
func freeze(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := leader.Freeze(); err != nil {
		return 0, err
	}
	if err := flood(w, leader, term); err != nil {
		return 0, err
	}
	replied, err := w.NewLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	wait.For(ctx, rand.N(300*time.Millisecond))
	if err := flood(w, leader, term); err != nil {
		return 0, err
	}
	return time.Duration(replied - at), leader.Thaw()
}

// flap stops the leader again and again for less than its lease.
func flap(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, _, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for range 5 {
		wait.For(ctx, 50*time.Millisecond+rand.N(350*time.Millisecond))
		if err := leader.Freeze(); err != nil {
			return 0, err
		}
		wait.For(ctx, 20*time.Millisecond+rand.N(w.Election.Lease*5/8))
		if err := leader.Thaw(); err != nil {
			return 0, err
		}
	}
	return recovery(ctx, w, history.Now())
}

// quota lets the leader run for 20 of every 100 ms. Signals do that on every
// machine, and to an idle leader too, which a CPU quota would not.
func quota(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, _, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for range 30 {
		if err := leader.Freeze(); err != nil {
			return 0, err
		}
		wait.For(ctx, 80*time.Millisecond)
		if err := leader.Thaw(); err != nil {
			return 0, err
		}
		wait.For(ctx, 20*time.Millisecond)
	}
	return recovery(ctx, w, history.Now())
}

// recovery returns how long after a time the first call was accepted that began after
// now, whichever candidate leads.
func recovery(ctx context.Context, w *world.World, from int64) (time.Duration, error) {
	replied, err := w.NextReply(ctx, world.LeaderWithin)
	return time.Duration(replied - from), err
}

// blackhole holds up what goes over the leader's connection, and lets it all
// through when another one leads.
func blackhole(there, back bool) func(context.Context, *world.World) (time.Duration, error) {
	return func(ctx context.Context, w *world.World) (time.Duration, error) {
		leader, term, err := calm(ctx, w)
		if err != nil {
			return 0, err
		}
		at := history.Now()
		if there {
			leader.Proxy.There.Shut()
		}
		if back {
			leader.Proxy.Back.Shut()
		}
		replied, err := w.NewLeader(ctx, term)
		wait.For(ctx, rand.N(300*time.Millisecond))
		leader.Proxy.OpenAll()
		return time.Duration(replied - at), err
	}
}

// sameName kills the leader and starts another process under its name at once.
func sameName(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.Kill()
	if err := w.Replace(ctx, leader, leader.Order.Instance); err != nil {
		return 0, err
	}
	replied, err := w.NewLeader(ctx, term)
	return time.Duration(replied - at), err
}

// startTogether kills all candidates and starts as many at the same instant.
func startTogether(ctx context.Context, w *world.World) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	for len(w.Candidates) > 0 {
		c := w.Candidates[0]
		c.Kill()
		w.Remove(c)
	}
	for range w.Setup.Candidates {
		if _, err := w.AddCandidate(""); err != nil {
			return 0, err
		}
	}
	replied, err := w.NewLeader(ctx, term)
	return time.Duration(replied - w.FirstReady()), err
}

// quietTime is how long the quiet scenario watches.
const quietTime = 60 * time.Second

// quiet does nothing: whatever callers see is needless.
func quiet(ctx context.Context, w *world.World) (time.Duration, error) {
	if _, _, err := w.Settle(ctx); err != nil {
		return 0, err
	}
	wait.For(ctx, quietTime)
	return unmeasured, ctx.Err()
}
