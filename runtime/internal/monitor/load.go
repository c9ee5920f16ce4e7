package monitor

import (
	"sync"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Load measures how busy an instance is with one service. Its zero value is ready, and
// it is safe for concurrent use.
type Load struct {
	mu   sync.Mutex // guards last
	last health.Totals
}

// Measure returns the load for a heartbeat. The latency is that of the calls since the
// last heartbeat: a mean over a minute would hide for too long that an instance has
// become slow. Commands do not count: how long they take says nothing to callers.
func (l *Load) Measure(recorder *health.Recorder, inFlight, capacity int64) registry.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	totals := recorder.Rated()
	load := registry.Load{InFlight: int(inFlight), Latency: totals.MeanSince(l.last), Capacity: int(capacity)}
	l.last = totals
	return load
}
