package work

import (
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// Backoff returns the pause after so many failed attempts. The pause doubles from the
// initial to the longest one, and a part of it is random.
func Backoff(r spec.Retry, failed int) time.Duration {
	pause := r.InitialBackoff
	for range failed - 1 {
		if pause *= 2; pause >= r.MaxBackoff {
			break
		}
	}
	return bus.Jitter(min(pause, r.MaxBackoff))
}
