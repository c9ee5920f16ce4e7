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

// State is the state of a connection at one moment.
type State struct {
	// Up: messages can be sent. Closed: the connection is closed for good, and is never
	// up again.
	Up, Closed bool
	// Returns returns how often the connection has come back. When the number has changed, the
	// connection has been away meanwhile, however short a time, and has missed what NATS
	// would have delivered then.
	Returns uint64
	// Outages is how often the connection went down, with the outage that lasts, and Down
	// for how long it was down in the outages before that. One that was so short that
	// nothing but its end was seen counts as no time.
	Outages uint64
	Down    time.Duration
	// Since is when the present outage began; zero while the connection is up.
	Since time.Time

	changed chan struct{} // closed by set, which replaces the state
}

// Changed returns a channel that is closed when the connection has another state.
func (s *State) Changed() <-chan struct{} { return s.changed }

// Link follows a NATS connection. A request is sent only while the link is up: nats.go
// would buffer it and send it after the reconnect, with a timeout that says nothing
// about how long the request has waited. The methods are safe for concurrent use. Only
// Look and Wait may wait: nats.go holds its lock while it dials.
type Link struct {
	nc     *nats.Conn
	state  atomic.Pointer[State]
	events chan nats.Status
	doubts chan struct{} // of one: somebody has found the connection down; never closed

	mu         sync.Mutex // held while the state is replaced
	reconnects uint64     // nats.go's count when the connection was last seen up
}

// New makes the link of a connection. Watch follows.
func New(nc *nats.Conn) *Link {
	l := &Link{nc: nc, doubts: make(chan struct{}, 1)}
	l.events = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	l.reconnects = nc.Stats().Reconnects
	first := &State{Up: nc.IsConnected(), changed: make(chan struct{})}
	if !first.Up {
		first.Outages, first.Since = 1, time.Now()
	}
	l.state.Store(first)
	return l
}

// Watch follows the connection until it is closed or ctx ends; then the link is
// closed. It calls told with each state in which the connection went down or has
// come back. nats.go drops events beyond its buffer, so an event is only a reason to ask
// nats.go for the state.
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
				l.down() // at once: nats.go may let Look wait
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

// Doubt is called by a user that has found the connection down, maybe before the event
// came. If the connection is up again by now, Watch finds that out.
func (l *Link) Doubt() {
	l.down()
	select {
	case l.doubts <- struct{}{}:
	default: // Watch is about to ask nats.go
	}
}

// Look asks nats.go for the state, and may have to wait while nats.go dials. Watch tells
// others of it in a moment.
func (l *Link) Look() {
	// In this order: a connection that goes and comes between the two is seen with
	// the event.
	reconnects, up := l.nc.Stats().Reconnects, l.nc.IsConnected()
	l.set(func(s *State) {
		if reconnects < l.reconnects {
			return // a later Look was faster
		}
		if up && reconnects != l.reconnects {
			l.reconnects = reconnects
			s.Returns++
		}
		s.Up = up
	})
}

// count counts the outage that begins or ends with the change from old to s.
func (s *State) count(old *State) {
	switch {
	case s.Closed || s.Up && old.Up && s.Returns == old.Returns:
	case !s.Up && old.Up:
		s.Outages++
		s.Since = time.Now()
	case s.Up && !old.Up:
		s.Down += time.Since(s.Since)
		s.Since = time.Time{}
	case s.Up: // it went and came in between
		s.Outages++
	}
}

// DownTime returns for how long the connection was down in all, with the present outage.
func (s *State) DownTime() time.Duration {
	if s.Since.IsZero() {
		return s.Down
	}
	return s.Down + time.Since(s.Since)
}

func (l *Link) down() { l.set(func(s *State) { s.Up = false }) }

// set replaces the state if it is another one, and wakes all that wait for a change.
func (l *Link) set(change func(*State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.state.Load()
	s := *old
	if change(&s); old.Closed || s == *old {
		return
	}
	s.count(old)
	s.changed = make(chan struct{})
	l.state.Store(&s)
	close(old.changed)
}

// Pretend gives tests a state that is wrong, as it is for a moment after a change.
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
