package collect

import (
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// deniedPause is how long nothing is tried again that NATS has denied: each try is a line
// in the log of NATS.
const deniedPause = 30 * time.Second

// denial remembers that NATS does not allow this user something. The zero denial says that
// NATS does. It is safe for concurrent use.
type denial struct {
	mu sync.Mutex
	at time.Time // when NATS last said so; zero if it has not
}

// watchDenials has d remember the denials that concern it, until stop is called.
func (c *Collector) watchDenials(d *denial, concerns func(*denials.Denial) bool) (stop func()) {
	return c.in.Bus.Denials.Watch(concerns, func(*denials.Denial) { d.note() })
}

func (d *denial) note() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = time.Now()
}

// forget says that all may have changed: the connection is another one, or what was denied
// has been answered.
func (d *denial) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = time.Time{}
}

// holds reports whether NATS has denied it, and due whether it may be tried again all the same.
func (d *denial) holds() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.at.IsZero()
}

func (d *denial) due() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at.IsZero() || time.Since(d.at) >= deniedPause
}
