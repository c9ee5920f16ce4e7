package aegis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// alone lets the handlers of suspects run alone in their server. A suspect is an
// event or a command whose worker was lost, and its handler may have done that: if
// it does so again, nothing else is lost with it.
//
// Nothing waits for long because of that: a suspect waits for the others until
// they end or its patience does, and keeps the others waiting until it ends or
// aloneFor is over. A handler that was waited for in vain is not waited for again.
// Calls have nothing to do with it.
type alone struct {
	// suspects is how many wait or run alone. As long as there are none the others
	// look at nothing else.
	suspects atomic.Int32
	// crowd counts the others, without those that were waited for in vain. Who has
	// the turn changes it.
	crowd atomic.Pointer[crowd]
	// left tells who has the turn that nobody is left in the crowd.
	left chan struct{}
	// turn is full while a suspect has it: waits for the others, or runs alone.
	turn chan struct{}
	// patience is how long the next suspect waits: half as long after each that has
	// waited in vain, twice as long after each other one. Who has the turn changes it.
	patience time.Duration

	mu      sync.Mutex
	current *aloneTurn // of the suspect that has the turn; nil without one
}

// crowd is a number of handlers that run.
type crowd struct{ running atomic.Int64 }

// aloneTurn is the time in which one suspect has the turn.
type aloneTurn struct {
	over    chan struct{}
	timer   *time.Timer // ends it
	waiting int64       // others that came meanwhile; guarded by the mutex of alone
	crowd   *crowd      // which they are part of when it is over
}

// pass is what a handler has while it runs: part of the crowd, or a turn.
type pass struct {
	crowd *crowd
	turn  *aloneTurn
}

const (
	aloneFor      = 5 * time.Second
	leastPatience = 50 * time.Millisecond
)

func newAlone() *alone {
	a := &alone{left: make(chan struct{}, 1), turn: make(chan struct{}, 1), patience: aloneFor}
	a.crowd.Store(&crowd{})
	return a
}

// begin waits until a handler may begin. It returns false if ctx ends before.
func (a *alone) begin(ctx context.Context, suspect bool) (pass, bool) {
	if suspect {
		return a.beginAlone(ctx)
	}
	c := a.crowd.Load()
	c.running.Add(1)
	if a.suspects.Load() == 0 { // a suspect that comes now finds this one in the crowd
		return pass{crowd: c}, true
	}
	return a.await(ctx, c)
}

// end follows begin when the handler has ended.
func (a *alone) end(p pass) {
	if p.turn != nil {
		a.endTurn(p.turn)
	} else {
		a.leave(p.crowd)
	}
}

func (a *alone) leave(c *crowd) {
	if c.running.Add(-1) == 0 && a.suspects.Load() > 0 {
		select {
		case a.left <- struct{}{}:
		default:
		}
	}
}

// await lets a handler that has joined the crowd wait until a suspect's turn is
// over, if one has it.
func (a *alone) await(ctx context.Context, c *crowd) (pass, bool) {
	a.mu.Lock()
	t := a.current
	if t == nil {
		a.mu.Unlock()
		return pass{crowd: c}, true
	}
	t.waiting++
	a.mu.Unlock()
	a.leave(c)
	select {
	case <-t.over:
		return pass{crowd: t.crowd}, true
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == t {
		t.waiting--
	} else { // it was just let in
		a.leave(t.crowd)
	}
	return pass{}, false
}

func (a *alone) beginAlone(ctx context.Context) (pass, bool) {
	a.suspects.Add(1)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		a.suspects.Add(-1)
		return pass{}, false
	}
	t := &aloneTurn{over: make(chan struct{})}
	a.mu.Lock()
	a.current = t
	a.mu.Unlock()
	a.drain(ctx)
	if ctx.Err() != nil {
		a.endTurn(t)
		return pass{}, false
	}
	a.mu.Lock()
	t.timer = time.AfterFunc(aloneFor, func() { a.endTurn(t) })
	a.mu.Unlock()
	return pass{turn: t}, true
}

// drain waits until nobody is left in the crowd.
func (a *alone) drain(ctx context.Context) {
	c := a.crowd.Load()
	timer := time.NewTimer(a.patience)
	defer timer.Stop()
	for c.running.Load() > 0 {
		select {
		case <-a.left:
		case <-ctx.Done():
			return
		case <-timer.C:
			a.crowd.Store(&crowd{})
			a.patience = max(a.patience/2, leastPatience)
			return
		}
	}
	a.patience = min(2*a.patience, aloneFor)
}

// endTurn lets in who has waited, and the next suspect after them.
func (a *alone) endTurn(t *aloneTurn) {
	a.mu.Lock()
	if a.current != t {
		a.mu.Unlock()
		return
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	a.current = nil
	t.crowd = a.crowd.Load()
	t.crowd.running.Add(t.waiting)
	close(t.over)
	a.mu.Unlock()
	a.suspects.Add(-1)
	<-a.turn
}
