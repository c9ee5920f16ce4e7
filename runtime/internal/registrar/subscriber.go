package registrar

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// keep registers a service. For a subscriber to events it is no error if the user may not
// use the registry, or if another process has a name that may be shared: a subscriber
// works without the registry, and is then not seen.
func (r *Registrar) keep(ctx context.Context, reg *registration) error {
	r.mu.Lock()
	denied := reg.denied
	r.mu.Unlock()
	if denied {
		return nil
	}
	err := r.register(ctx, reg)
	switch {
	case err == nil || !reg.subscriber:
		return err
	case errors.Is(err, stores.ErrPermission), r.refused(r.bucket.Subject(reg.key)):
		r.deny(reg, err)
		return nil
	case reg.shared && errors.Is(err, ErrNameTaken):
		r.mute(reg, err)
		return nil
	}
	return err
}

// refused reports whether the last error of the connection is that this user may not
// publish to a subject.
func (r *Registrar) refused(subject string) bool {
	last := r.nc.LastError()
	return errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`)
}

// deny ends the attempts to register a service: each would be an error in the log of
// NATS.
func (r *Registrar) deny(reg *registration, err error) {
	r.mu.Lock()
	was := reg.denied
	reg.denied = true
	r.mu.Unlock()
	if !was {
		r.o.Logger.Warn("aegis: this user may not register the instance as a subscriber; it works, and is not seen; "+
			"see the least permissions in docs/registry.md", "key", reg.key, "err", err)
	}
}

// mute sends no heartbeats of a service while another process has its name. A nil err
// ends that.
func (r *Registrar) mute(reg *registration, err error) {
	r.mu.Lock()
	was := reg.muted
	reg.muted = err != nil
	r.mu.Unlock()
	if err != nil && !was {
		r.o.Logger.Warn("aegis: another process subscribes under the name of this instance; both work, and only that one is seen", "key", reg.key, "err", err)
	}
}

// deniedTimeout is how long NATS may take to say that it refuses a heartbeat.
const deniedTimeout = 2 * time.Second

// beatDenied finds out, before the first regular heartbeats, whether NATS refuses those
// of subscribers.
func (r *Registrar) beatDenied() {
	for _, reg := range r.regs {
		if !reg.subscriber {
			continue
		}
		r.send(reg)
		if r.nc.FlushTimeout(deniedTimeout) == nil && r.refused(reg.subject) {
			r.deny(reg, r.nc.LastError())
		}
	}
}
