package leader

import (
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// askAgainAfter is for how long a refusal is taken to hold. A candidate tries many times
// a second, and each refusal is an error in the log of NATS.
const askAgainAfter = 2 * time.Second

// refused is the last refusal by NATS of one kind of operation. It is safe for
// concurrent use.
type refused struct {
	nc *nats.Conn

	mu         sync.Mutex // guards the rest
	err        error
	at         time.Time
	reconnects uint64 // of the connection that was refused; another one may have other permissions
}

// still returns the refusal if it is young enough to hold, else nil.
func (r *refused) still() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && (time.Since(r.at) >= askAgainAfter || r.nc.Stats().Reconnects != r.reconnects) {
		r.err = nil
	}
	return r.err
}

// note remembers the outcome of an operation if it is a refusal, and returns it.
func (r *refused) note(err error) error {
	if errors.Is(err, stores.ErrPermission) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err, r.at, r.reconnects = err, time.Now(), r.nc.Stats().Reconnects
	}
	return err
}
