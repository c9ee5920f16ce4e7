package work

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Alone lets the handlers of suspects run alone in their server. A suspect is an
// event or a command whose worker was lost, and its handler may have done that: if
// it does so again, nothing else is lost with it.
//
// Nothing waits for long because of that: a suspect waits for the others until
// they end or its patience does, and keeps the others waiting until it ends or
// aloneFor is over. A handler that was waited for in vain is not waited for again.
// Calls have nothing to do with it. It is safe for concurrent use.
type Alone struct {
	// suspects is how many wait or run alone. As long as there are none the others
	// look at nothing else.
	suspects atomic.Int32
	// crowd counts the others, without those that were waited for in vain. The
	// suspect that has the turn changes it.
	crowd atomic.Pointer[crowd]
	// left tells the suspect that has the turn that no handler is left in the crowd.
	left chan struct{}
	// turn is full while a suspect has it: waits for the others, or runs alone.
	turn chan struct{}
	// patience is how long the next suspect waits: half as long after each that has
	// waited in vain, twice as long after each other one. The suspect that has the
	// turn changes it.
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

// Pass is what a handler has while it runs: part of the crowd, or a turn.
type Pass struct {
	crowd *crowd
	turn  *aloneTurn
}

const (
	aloneFor      = 5 * time.Second
	leastPatience = 50 * time.Millisecond
)

// NewAlone makes the one of a server.
func NewAlone() *Alone {
	a := &Alone{left: make(chan struct{}, 1), turn: make(chan struct{}, 1), patience: aloneFor}
	a.crowd.Store(&crowd{})
	return a
}

// Begin waits until a handler may begin. It returns false if ctx ends before.
func (a *Alone) Begin(ctx context.Context, suspect bool) (Pass, bool) {
	if suspect {
		return a.beginAlone(ctx)
	}
	c := a.crowd.Load()
	c.running.Add(1)
	if a.suspects.Load() == 0 { // a suspect that comes now finds this one in the crowd
		return Pass{crowd: c}, true
	}
	return a.await(ctx, c)
}

// End follows Begin when the handler has ended.
func (a *Alone) End(p Pass) {
	if p.turn != nil {
		a.endTurn(p.turn)
	} else {
		a.leave(p.crowd)
	}
}

func (a *Alone) leave(c *crowd) {
	if c.running.Add(-1) == 0 && a.suspects.Load() > 0 {
		select {
		case a.left <- struct{}{}:
		default:
		}
	}
}

// await lets a handler that has joined the crowd wait until a suspect's turn is
// over, if one has it.
func (a *Alone) await(ctx context.Context, c *crowd) (Pass, bool) {
	a.mu.Lock()
	t := a.current
	if t == nil {
		a.mu.Unlock()
		return Pass{crowd: c}, true
	}
	t.waiting++
	a.mu.Unlock()
	a.leave(c)
	select {
	case <-t.over:
		return Pass{crowd: t.crowd}, true
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == t {
		t.waiting--
	} else { // it was just let in
		a.leave(t.crowd)
	}
	return Pass{}, false
}

func (a *Alone) beginAlone(ctx context.Context) (Pass, bool) {
	a.suspects.Add(1)
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		a.suspects.Add(-1)
		return Pass{}, false
	}
	t := &aloneTurn{over: make(chan struct{})}
	a.mu.Lock()
	a.current = t
	a.mu.Unlock()
	a.drain(ctx)
	if ctx.Err() != nil {
		a.endTurn(t)
		return Pass{}, false
	}
	a.mu.Lock()
	t.timer = time.AfterFunc(aloneFor, func() { a.endTurn(t) })
	a.mu.Unlock()
	return Pass{turn: t}, true
}

// drain waits until no handler is left in the crowd.
func (a *Alone) drain(ctx context.Context) {
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

// endTurn lets in the handlers that have waited, and the next suspect after them.
func (a *Alone) endTurn(t *aloneTurn) {
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
