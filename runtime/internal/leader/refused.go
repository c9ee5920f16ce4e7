package leader

import (
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// askAgainAfter is how long NATS is not asked again for what it has refused, as a
// candidate would do many times a second: its store answers at once then.
const askAgainAfter = 2 * time.Second

// refused is what NATS has refused to this user last, of one kind of operation.
type refused struct {
	nc *nats.Conn

	mu         sync.Mutex
	err        error
	at         time.Time
	reconnects uint64 // permissions change with the connection
}

// still returns the refusal if it is young enough to hold.
func (r *refused) still() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && (time.Since(r.at) >= askAgainAfter || r.nc.Stats().Reconnects != r.reconnects) {
		r.err = nil
	}
	return r.err
}

// note takes the outcome of an operation, and returns it.
func (r *refused) note(err error) error {
	if errors.Is(err, stores.ErrPermission) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err, r.at, r.reconnects = err, time.Now(), r.nc.Stats().Reconnects
	}
	return err
}
