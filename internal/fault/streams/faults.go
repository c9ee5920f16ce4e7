//go:build linux

package streams

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/procs"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// noneLost has no stream lose anything. One may end all the same, where the
// machine itself stands still for longer than a process may be silent.
func noneLost(ctx context.Context, w *pair) error {
	got, err := w.use(ctx)
	if lost := got[roles.EventCode+aegis.CodeDataLoss.String()]; err == nil && (lost > 0 || got[roles.EventWhole] == 0) {
		w.remarkf("nothing was lost, and yet %d streams say so: %v", lost, got)
	}
	return err
}

// someWhole has some streams meet with faults, and others not.
func someWhole(ctx context.Context, w *pair) error {
	got, err := w.use(ctx)
	if err == nil && (got[roles.EventWhole] == 0 || got.ended() == 0) {
		w.remarkf("either no stream or every stream met with a fault: %v", got)
	}
	return err
}

// use uses as many streams as the case has.
func (w *pair) use(ctx context.Context) (tally, error) {
	before := w.tallied()
	err := w.Do(ctx, w.reader, roles.CommandRun, w.of.size, streamsAtOnce, streamItems)
	return w.tallied().since(before), err
}

// during has as many streams used at once as the case says while something
// happens. Some have to be ended by it, and others to be whole.
func (w *pair) during(ctx context.Context, happens func() error) error {
	before := w.tallied()
	done, err := w.Order(w.reader, roles.CommandRun, 0, w.of.size, longItems)
	if err != nil {
		return err
	}
	wait.For(ctx, time.Second)
	if err := happens(); err != nil {
		return err
	}
	wait.For(ctx, 2*time.Second)
	if err := w.reader.Tell(roles.CommandStop); err != nil {
		return err
	}
	if err := done(ctx); err != nil {
		return err
	}
	if got := w.tallied().since(before); got[roles.EventWhole] == 0 || got.ended() == 0 {
		w.remarkf("either no stream or every stream met with the fault: %v", got)
	}
	return nil
}

// cutConnections cuts both connections a few times, and holds each up for less
// and for more than it takes to find out that another process is gone.
func cutConnections(ctx context.Context, w *pair) error {
	return w.during(ctx, func() error {
		for range 3 {
			for _, p := range w.proxies {
				p.Cut()
				wait.For(ctx, 200*time.Millisecond+rand.N(time.Second))
			}
		}
		for _, hold := range []time.Duration{time.Second, 5 * time.Second} {
			for _, p := range w.proxies {
				p.ShutAll()
				wait.For(ctx, hold)
				p.OpenAll()
				wait.For(ctx, time.Second)
			}
		}
		return ctx.Err()
	})
}

// killStreamer kills the server and starts another one.
func killStreamer(ctx context.Context, w *pair) error {
	return w.during(ctx, func() (err error) {
		w.res.Short += w.Heard(w.server)[roles.EventShort]
		w.server.Kill()
		wait.For(ctx, time.Second)
		w.server, err = w.startStreamer(ctx)
		return err
	})
}

// killReader kills a client that has many streams open.
func killReader(ctx context.Context, w *pair) error {
	victim, err := w.startReader(ctx)
	if err != nil {
		return err
	}
	if err := w.Do(ctx, victim, roles.CommandKeep, w.of.size); err != nil {
		return err
	}
	server, err := w.measure(ctx, w.server)
	if err != nil {
		return err
	}
	if want := uint64(w.of.size); server[roles.EventOpen] != want {
		w.remarkf("%d streams are open, not %d", server[roles.EventOpen], want)
	}
	at := history.Now()
	victim.Kill()
	return wait.Until(ctx, "the streams of a dead client to end", returnWithin, func() bool {
		server, err = w.measure(ctx, w.server)
		if err == nil && server[roles.EventOpen] == 0 {
			w.Log.Info("the streams of a dead client have ended", "streams", w.of.size, "after", time.Duration(history.Now()-at))
			return true
		}
		return err != nil
	})
}

// readSlowly reads an item a second, while other streams of the same server are
// used. Neither side may hold more than windows.
func readSlowly(ctx context.Context, w *pair) error {
	slow, err := w.startReader(ctx)
	if err != nil {
		return err
	}
	both := []*procs.Process{w.server, slow}
	base := make(map[*procs.Process]tally)
	for _, c := range both {
		if base[c], err = w.measure(ctx, c); err != nil {
			return err
		}
	}
	if _, err := w.Order(slow, roles.CommandSlow, w.of.size); err != nil {
		return err
	}
	most := make(map[*procs.Process]uint64)
	for w.Heard(slow)[roles.EventSlow] == 0 {
		if err := w.unharmed(ctx); err != nil {
			return err
		}
		for _, c := range both {
			now, err := w.measure(ctx, c)
			if err != nil {
				return err
			}
			most[c] = max(most[c], now[roles.EventHeap])
		}
		wait.For(ctx, time.Second)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, c := range both {
		if was := base[c][roles.EventHeap]; most[c] > was+slackHeap {
			w.remarkf("%s held %d bytes, and %d before", c.Name, most[c], was)
		}
	}
	if read, want := w.Heard(slow)[roles.EventRead], uint64(w.of.size*3/4); read < want {
		w.remarkf("%d items were read in %d s", read, w.of.size)
	}
	return nil
}
