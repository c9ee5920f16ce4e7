package aegis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// link knows whether the NATS connection is up. A request is sent only then:
// nats.go would buffer it and send it after the reconnect, with a timeout that
// says nothing about how long it has waited.
type link struct {
	up atomic.Bool

	mu     sync.Mutex
	closed bool // for good
	// changed is closed when the connection comes up or is closed for good.
	changed chan struct{}
	events  chan nats.Status
	doubts  chan struct{} // of one: somebody has found the connection down
}

func (l *link) init(nc *nats.Conn) {
	l.changed, l.doubts = make(chan struct{}), make(chan struct{}, 1)
	l.events = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	l.update(nc)
}

// watch follows the connection until it is closed or ctx ends. nats.go drops
// events beyond its buffer, so each event only says: look again. Nobody else says
// that the connection is up, so that cameUp is called each time.
func (l *link) watch(ctx context.Context, nc *nats.Conn, cameUp func()) {
	defer nc.RemoveStatusListener(l.events)
	defer func() { l.set(false, true) }()
	for {
		if l.update(nc) {
			cameUp()
		}
		if nc.IsClosed() {
			return
		}
		select {
		case status := <-l.events:
			if status != nats.CONNECTED {
				// At once: nats.go holds its lock while it dials, and callers who ask it
				// would wait for that.
				l.set(false, false)
			}
		case <-l.doubts:
		case <-ctx.Done():
			return
		}
	}
}

// doubt is called by whoever has found the connection down, maybe before the
// event. If it is up again by now, watch sees that.
func (l *link) doubt() {
	l.set(false, false)
	select {
	case l.doubts <- struct{}{}:
	default: // watch is about to look
	}
}

func (l *link) update(nc *nats.Conn) (cameUp bool) { return l.set(nc.IsConnected(), false) }

func (l *link) set(up, closed bool) (cameUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.up.Swap(up)
	l.closed = l.closed || closed
	if up && !was || closed {
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return up && !was
}

// wait returns true as soon as the connection is up, and false at the deadline
// or when ctx ends or the connection is closed for good.
func (l *link) wait(ctx context.Context, deadline time.Time) bool {
	l.mu.Lock()
	changed := l.changed
	up, closed := l.up.Load(), l.closed
	l.mu.Unlock()
	if up || closed {
		return up
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return l.up.Load()
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// isClosed reports whether the connection is closed for good.
func (l *link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
