package handling

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
)

// abandonTime is how long handlers get to return once their contexts have ended.
const abandonTime = time.Second

// Grace is the time that a stopping server leaves the handlers that run. When it is
// over, the contexts of the handlers are ended, and the handlers are named.
type Grace struct {
	// Context ends with the time.
	Context context.Context //nolint:containedctx // it is the time itself

	period time.Duration
	logger *slog.Logger
	expire func() map[string]int
	cancel context.CancelFunc
	over   bool
}

// NewGrace starts the time. When it is over, Wait calls expire, which ends the contexts
// of all handlers and returns how many of them ran, by the names of their methods. End
// follows.
func NewGrace(period time.Duration, logger *slog.Logger, expire func() map[string]int) *Grace {
	g := &Grace{period: period, logger: logger, expire: expire}
	g.Context, g.cancel = context.WithTimeout(context.Background(), period)
	return g
}

// End releases the timer.
func (g *Grace) End() { g.cancel() }

// Wait waits until all the channels are closed. If the time is over before that, it
// ends the handlers, gives them a second to return, and returns an error that names
// those that ran. A grace period of nothing is over before Wait, also where nothing
// runs, which is no error. After an error Wait gives a second without any, as the
// handlers have been named.
func (g *Grace) Wait(channels ...<-chan struct{}) error {
	if g.over {
		closeWithin(abandonTime, channels)
		return nil
	}
	for i, c := range channels {
		select {
		case <-c:
		case <-g.Context.Done():
			return g.abandon(channels[i:])
		}
	}
	return nil
}

func (g *Grace) abandon(channels []<-chan struct{}) error {
	handlers := g.expire()
	returned := closeWithin(abandonTime, channels)
	switch {
	case len(handlers) > 0:
		g.over = true
		g.logger.Error("aegis: the grace period was too short for handlers that still ran; their contexts were ended",
			"grace", g.period, "handlers", listed(handlers))
		return fmt.Errorf("aegis: after the grace period of %v handlers still ran: %s", g.period, listed(handlers))
	case !returned:
		g.over = true
		g.logger.Error("aegis: the grace period was too short for what handlers have left to send or to store", "grace", g.period)
		return fmt.Errorf("aegis: after the grace period of %v no handler ran any more, but not all of their replies and results were sent or stored", g.period)
	}
	return nil
}

// closeWithin waits until all the channels are closed, and reports whether that took
// no longer than d.
func closeWithin(d time.Duration, channels []<-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, c := range channels {
		select {
		case <-c:
			continue
		case <-timer.C:
		}
		return false
	}
	return true
}

// listed writes how many handlers run of each method, in order of the names.
func listed(handlers map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		list = append(list, fmt.Sprintf("%s (%d)", name, handlers[name]))
	}
	return strings.Join(list, ", ")
}
