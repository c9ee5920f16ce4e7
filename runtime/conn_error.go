package aegis

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// refusedInterval is how often it is logged that NATS still refuses the user.
const refusedInterval = time.Minute

// asyncErrors takes what nats.go reports of a connection that Connect has made:
// to the user's own handler if there is one, else to the log.
type asyncErrors struct {
	logger *slog.Logger
	users  nats.ErrHandler      // nil if the user has none
	conn   atomic.Pointer[Conn] // nil until there is one: errors may arrive before

	repeated quiet.Repeated

	mu      sync.Mutex
	refused int // how often NATS has refused the user since the connection was up
	since   time.Time
	told    time.Time
}

// happened is called by nats.go.
func (a *asyncErrors) happened(nc *nats.Conn, sub *nats.Subscription, err error) {
	told := false
	if conn := a.conn.Load(); conn != nil {
		told = conn.permissionDenied(err) || conn.subscriptionRefused(err) || conn.patterns.Expected(err)
	}
	switch {
	case a.users != nil:
		a.users(nc, sub, err)
	case told:
	case sub == nil && refusesUser(err):
		a.refuse(err)
	case sub != nil:
		a.repeated.Tell(sub.Subject+" "+err.Error(), func(more ...any) {
			a.logger.Error("aegis: NATS error", append([]any{"subject", sub.Subject, "err", err}, more...)...)
		})
	default:
		a.repeated.Tell(err.Error(), func(more ...any) {
			a.logger.Error("aegis: NATS error", append([]any{"err", err}, more...)...)
		})
	}
}

// refusesUser reports whether a NATS server did not let the user in, or has
// thrown the user out.
func refusesUser(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// refuse logs the first refusal, and then once a minute how many there were:
// there are several a second as long as it lasts.
func (a *asyncErrors) refuse(err error) {
	now := time.Now()
	a.mu.Lock()
	if a.refused++; a.refused == 1 {
		a.since = now
	}
	tell := a.refused == 1 || now.Sub(a.told) >= refusedInterval
	if tell {
		a.told = now
	}
	refused, since := a.refused, a.since
	a.mu.Unlock()
	if tell {
		a.logger.Error("aegis: NATS refuses this connection's user; it is tried again until NATS accepts it",
			"err", err, "refused", refused, "for", now.Sub(since).Round(time.Second))
	}
}

// accepted is called when the connection has come up.
func (a *asyncErrors) accepted() {
	a.mu.Lock()
	refused, since := a.refused, a.since
	a.refused = 0
	a.mu.Unlock()
	if refused > 0 {
		a.logger.Info("aegis: NATS accepts this connection's user again", "refused", refused, "for", time.Since(since).Round(time.Second))
	}
}
