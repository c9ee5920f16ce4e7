package registrar

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Processes that only subscribe to events were not registered in earlier versions. So it
// is no error for such a process that it may not write the registry, or that it shares its
// name with another one where that does no harm.

// keep registers a service. It returns no error where a subscriber may stay unregistered.
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

// refused reports whether NATS's last refusal is that of a message to a subject.
func (r *Registrar) refused(subject string) bool {
	last := r.nc.LastError()
	return errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`)
}

// deny gives up to register a service: each further try would be an error in NATS's log.
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

// mute stops the heartbeats of a service while another process uses the name, which err
// says; nil starts them again.
func (r *Registrar) mute(reg *registration, err error) {
	r.mu.Lock()
	was := reg.muted
	reg.muted = err != nil
	r.mu.Unlock()
	if err != nil && !was {
		r.o.Logger.Warn("aegis: another process subscribes under the name of this instance; both work, and only that one is seen", "key", reg.key, "err", err)
	}
}

// deniedTimeout bounds the wait for NATS's refusal of a heartbeat.
const deniedTimeout = 2 * time.Second

// beatDenied finds out whether NATS refuses the heartbeats of subscribers.
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
