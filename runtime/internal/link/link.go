// Package link knows whether a NATS connection is up, and counts how often it has
// come back. It is the one place that says whether the connection has been away.
package link

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// State is what is known of a connection at one moment.
type State struct {
	// Up: it can be sent. Closed: it is closed for good, and is never up again.
	Up, Closed bool
	// Returns is how often the connection has come back. If it is another number
	// than before, the connection has been away meanwhile, however short a time, and
	// what NATS would have delivered then was missed.
	Returns uint64

	changed chan struct{}
}

// Changed is closed when this is no longer the state.
func (s *State) Changed() <-chan struct{} { return s.changed }

// Link follows a NATS connection. A request is sent only while it is up: nats.go
// would buffer it and send it after the reconnect, with a timeout that says nothing
// about how long it has waited. Its methods are safe for concurrent use, and, but
// for Look, never wait: nats.go holds its lock while it dials.
type Link struct {
	nc     *nats.Conn
	state  atomic.Pointer[State]
	events chan nats.Status
	doubts chan struct{} // of one: somebody has found the connection down

	mu         sync.Mutex // held while the state is replaced
	reconnects uint64     // nats.go's count when the connection was last seen up
}

// New makes the link of a connection. Watch has to be called.
func New(nc *nats.Conn) *Link {
	l := &Link{nc: nc, doubts: make(chan struct{}, 1)}
	l.events = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	l.reconnects = nc.Stats().Reconnects
	l.state.Store(&State{Up: nc.IsConnected(), changed: make(chan struct{})})
	return l
}

// Watch follows the connection until it is closed or ctx ends; then the link is
// closed. It calls told with each state in which the connection went down or has
// come back. nats.go drops events beyond its buffer, so each event only says: look.
func (l *Link) Watch(ctx context.Context, told func(State)) {
	defer l.nc.RemoveStatusListener(l.events)
	defer l.set(func(s *State) { s.Up, s.Closed = false, true })
	last := *l.state.Load()
	tell := func() {
		if s := *l.state.Load(); s.Up != last.Up || s.Returns != last.Returns {
			last = s
			told(s)
		}
	}
	for {
		l.Look()
		if l.nc.IsClosed() {
			return
		}
		tell()
		select {
		case status := <-l.events:
			if status != nats.CONNECTED {
				l.down() // before nats.go is asked
			}
			if status != nats.CLOSED {
				tell()
			}
		case <-l.doubts:
			tell()
		case <-ctx.Done():
			return
		}
	}
}

// Doubt is called by whoever has found the connection down, maybe before the event.
// If it is up again by now, Watch sees that.
func (l *Link) Doubt() {
	l.down()
	select {
	case l.doubts <- struct{}{}:
	default: // Watch is about to look
	}
}

// Look asks nats.go, and may have to wait while that dials. Others are told by Watch
// in a moment.
func (l *Link) Look() {
	// In this order: a connection that goes and comes between the two is seen with
	// the event.
	reconnects, up := l.nc.Stats().Reconnects, l.nc.IsConnected()
	l.set(func(s *State) {
		if reconnects < l.reconnects {
			return // somebody has looked after this one did
		}
		if up && reconnects != l.reconnects {
			l.reconnects = reconnects
			s.Returns++
		}
		s.Up = up
	})
}

func (l *Link) down() { l.set(func(s *State) { s.Up = false }) }

// set replaces the state, and wakes who waits for that.
func (l *Link) set(change func(*State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.state.Load()
	s := *old
	if change(&s); old.Closed || s == *old {
		return
	}
	s.changed = make(chan struct{})
	l.state.Store(&s)
	close(old.changed)
}

// Pretend makes tests see what is believed for a moment after a change.
func (l *Link) Pretend(up bool) { l.set(func(s *State) { s.Up = up }) }

// State returns the state.
func (l *Link) State() *State { return l.state.Load() }

// Up reports whether the connection is up.
func (l *Link) Up() bool { return l.state.Load().Up }

// Closed reports whether the connection is closed for good.
func (l *Link) Closed() bool { return l.state.Load().Closed }

// Returns is how often the connection has come back.
func (l *Link) Returns() uint64 { return l.state.Load().Returns }

// Wait returns true as soon as the connection is up, and false at the deadline or
// when ctx ends or the connection is closed for good.
func (l *Link) Wait(ctx context.Context, deadline time.Time) bool {
	s := l.State()
	if s.Up || s.Closed {
		return s.Up
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for !s.Up && !s.Closed {
		select {
		case <-s.Changed():
			s = l.State()
		case <-ctx.Done():
			return false
		case <-timer.C:
			return false
		}
	}
	return s.Up
}
