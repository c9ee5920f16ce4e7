//go:build linux

package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/procs"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// returnWithin is how long processes may take to let go of what streams held.
	returnWithin = 30 * time.Second
	// What a process may hold besides: workers, which stay once that many opens have
	// come at once, and what the heap keeps in pieces.
	slackGoroutines = 2 * streamsAtOnce
	slackHeap       = 16 << 20
)

// tally counts streams by the event that says how they ended.
type tally map[string]uint64

// tallied adds up the counts that all readers have printed so far.
func (w *pair) tallied() tally {
	sum := make(tally)
	for _, c := range w.readers {
		for event, n := range w.Heard(c) {
			sum[event] += n
		}
	}
	return sum
}

// since returns the counts that have been added since before.
func (t tally) since(before tally) tally {
	added := make(tally)
	for event, n := range t {
		if n > before[event] {
			added[event] = n - before[event]
		}
	}
	return added
}

// ended returns the number of streams that ended with a status.
func (t tally) ended() (n uint64) {
	for event, of := range t {
		if strings.HasPrefix(event, roles.EventCode) {
			n += of
		}
	}
	return n
}

// measured runs the case between two runs without a fault: the first brings both
// processes to where they have to return, the last shows that they still work.
func (w *pair) measured(ctx context.Context) error {
	if err := w.unharmed(ctx); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	server, err := w.measure(ctx, w.server)
	if err != nil {
		return err
	}
	reader, err := w.measure(ctx, w.reader)
	if err != nil {
		return err
	}
	before := w.tallied()
	w.harmful.Store(true)
	err = w.of.run(ctx, w)
	w.harmful.Store(false)
	w.note(w.tallied().since(before))
	if err != nil {
		return err
	}
	if err := w.unharmed(ctx); err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	w.res.Short += w.Heard(w.server)[roles.EventShort]
	return w.returned(ctx, server, reader)
}

// note adds a tally to the result.
func (w *pair) note(t tally) {
	w.res.Whole += t[roles.EventWhole]
	w.res.Short += t[roles.EventShort]
	w.res.Hung += t[roles.EventHung]
	for event, n := range t {
		code, ok := strings.CutPrefix(event, roles.EventCode)
		if !ok {
			continue
		}
		w.res.Ended[code] += n
		if !slices.Contains(clearCodes(), code) {
			w.remarkf("%d streams ended as %s, which does not say what has happened", n, code)
		}
	}
}

// clearCodes returns the codes with which a fault may end a stream. An open that has
// no answer in time is DEADLINE_EXCEEDED.
func clearCodes() []string {
	return []string{aegis.CodeDataLoss.String(), aegis.CodeUnavailable.String(), aegis.CodeDeadlineExceeded.String()}
}

// unharmed uses streams without a fault. All of them have to be whole.
func (w *pair) unharmed(ctx context.Context) error {
	before := w.tallied()
	const streams = 2 * streamsAtOnce
	if err := w.Do(ctx, w.reader, roles.CommandRun, streams, streamsAtOnce, streamItems); err != nil {
		return err
	}
	if got := w.tallied().since(before); got[roles.EventWhole] != streams {
		return fmt.Errorf("%d of %d streams were whole: %v", got[roles.EventWhole], streams, got)
	}
	return nil
}

// measure asks a process for the streams, subscriptions, goroutines and memory that
// it holds.
func (w *pair) measure(ctx context.Context, c *procs.Process) (tally, error) {
	err := w.Do(ctx, c, roles.CommandMeasure)
	return w.Heard(c), err
}

// returned waits until both processes hold what they held before.
func (w *pair) returned(ctx context.Context, server, reader tally) error {
	deadline := time.Now().Add(returnWithin)
	for {
		var left []string
		for _, p := range []struct {
			name  string
			child *procs.Process
			base  tally
		}{{"server", w.server, server}, {"client", w.reader, reader}} {
			now, err := w.measure(ctx, p.child)
			if err != nil {
				return err
			}
			left = append(left, leftOver(p.name, now, p.base)...)
		}
		if len(left) == 0 || time.Now().After(deadline) {
			w.res.Left = left
			return w.dump(ctx, left)
		}
		wait.For(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// dump has both processes log what their goroutines do.
func (w *pair) dump(ctx context.Context, left []string) error {
	if len(left) == 0 {
		return nil
	}
	return errors.Join(w.Do(ctx, w.server, roles.CommandDump), w.Do(ctx, w.reader, roles.CommandDump))
}

// leftOver names the things that a process holds and did not hold before.
func leftOver(name string, now, base tally) (left []string) {
	for _, what := range []struct {
		event string
		slack uint64
	}{{roles.EventOpen, 0}, {roles.EventSubscriptions, 0}, {roles.EventGoroutines, slackGoroutines}, {roles.EventHeap, slackHeap}} {
		if n, was := now[what.event], base[what.event]; n > was+what.slack {
			left = append(left, fmt.Sprintf("%s at the %s: %d, before %d", what.event, name, n, was))
		}
	}
	return left
}
