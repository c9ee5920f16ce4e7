package registrar

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Those who only subscribe to events could do without the registry before they
// were registered, and so may those who lack its permissions, and those who share
// a name where that does no harm.

// keep registers a service, and takes what is no error for a subscriber.
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

// refused reports whether the last thing that NATS has refused is to publish to a
// subject.
func (r *Registrar) refused(subject string) bool {
	last := r.nc.LastError()
	return errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`)
}

// deny registers it no more: to ask again would be an error in NATS's log each time.
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

// mute says nothing under the name while another process does; nil ends that.
func (r *Registrar) mute(reg *registration, err error) {
	r.mu.Lock()
	was := reg.muted
	reg.muted = err != nil
	r.mu.Unlock()
	if err != nil && !was {
		r.o.Logger.Warn("aegis: another process subscribes under the name of this instance; both work, and only that one is seen", "key", reg.key, "err", err)
	}
}

const deniedTimeout = 2 * time.Second

// beatDenied finds out whether heartbeats of subscribers are refused.
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
