package aegis

import (
	"strings"
	"sync/atomic"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// unheard is the first subscription that NATS has refused while a server starts. The
// last error of the connection tells it as well, unless another one follows at once.
type unheard struct {
	first atomic.Pointer[denials.Denial]
}

func (u *unheard) err() error {
	if d := u.first.Load(); d != nil {
		return d.Err
	}
	return nil
}

// watchSubscriptions takes note of the subscriptions that NATS refuses until stop is
// called, but for those that a server can do without: to the heartbeats of its name and
// to the tools for NATS micro.
func (s *Server) watchSubscriptions() (stop func()) {
	beats := strings.TrimSuffix(s.conn.subjects.Beats(""), ">")
	return s.conn.bus.Denials.Watch(func(d *denials.Denial) bool {
		return d.Subscribe && !strings.HasPrefix(d.Subject, beats) && !strings.HasPrefix(d.Subject, "$SRV.")
	}, func(d *denials.Denial) { s.unheard.first.CompareAndSwap(nil, d) })
}
