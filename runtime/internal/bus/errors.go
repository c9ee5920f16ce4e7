package bus

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// refusedInterval is how often the log says that NATS still refuses the user.
const refusedInterval = time.Minute

// Errors takes the errors that nats.go reports of a connection at any time, and hands
// them to the user's own handler if there is one, else to the log.
type Errors struct {
	logger   *slog.Logger
	users    nats.ErrHandler // nil if the user has none
	heard    atomic.Pointer[func(error) bool]
	repeated quiet.Repeated

	mu      sync.Mutex // guards the fields below
	refused int        // how often NATS has refused the user since the connection was up
	since   time.Time
	told    time.Time
}

// NewErrors returns the errors of a connection that is about to be made. Its Happened
// is the callback of nats.go; users is that of the user, or nil.
func NewErrors(logger *slog.Logger, users nats.ErrHandler) *Errors {
	return &Errors{logger: logger, users: users}
}

// Hear has heard called with each error from now on; errors may have come before.
// heard reports whether another part of the program logs the error.
func (e *Errors) Hear(heard func(error) bool) { e.heard.Store(&heard) }

// Happened is called by nats.go.
func (e *Errors) Happened(nc *nats.Conn, sub *nats.Subscription, err error) {
	told := false
	if heard := e.heard.Load(); heard != nil {
		told = (*heard)(err)
	}
	switch {
	case e.users != nil:
		e.users(nc, sub, err)
	case told:
	case sub == nil && refusesUser(err):
		e.refuse(err)
	case sub != nil:
		e.repeated.Tell(sub.Subject+" "+err.Error(), func(more ...any) {
			e.logger.Error("aegis: NATS error", append([]any{"subject", sub.Subject, "err", err}, more...)...)
		})
	default:
		e.repeated.Tell(err.Error(), func(more ...any) {
			e.logger.Error("aegis: NATS error", append([]any{"err", err}, more...)...)
		})
	}
}

// refusesUser reports whether a NATS server did not let the user in, or has thrown
// the user out.
func refusesUser(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// refuse logs the first refusal, and then once a minute the number of refusals: NATS
// refuses the user several times a second as long as that lasts.
func (e *Errors) refuse(err error) {
	now := time.Now()
	e.mu.Lock()
	if e.refused++; e.refused == 1 {
		e.since = now
	}
	tell := e.refused == 1 || now.Sub(e.told) >= refusedInterval
	if tell {
		e.told = now
	}
	refused, since := e.refused, e.since
	e.mu.Unlock()
	if tell {
		e.logger.Error("aegis: NATS refuses this connection's user; it is tried again until NATS accepts it",
			"err", err, "refused", refused, "for", now.Sub(since).Round(time.Second))
	}
}

// Accepted is called when the connection has come up, so NATS has let the user in.
func (e *Errors) Accepted() {
	e.mu.Lock()
	refused, since := e.refused, e.since
	e.refused = 0
	e.mu.Unlock()
	if refused > 0 {
		e.logger.Info("aegis: NATS accepts this connection's user again", "refused", refused, "for", time.Since(since).Round(time.Second))
	}
}
