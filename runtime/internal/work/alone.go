package work

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Alone lets the handlers of suspects run alone in their server. A suspect is an event or
// a command whose worker was lost. Its handler may have been the reason; if it ends the
// process again, no other handler is lost with it.
//
// No handler waits for long because of that: a suspect waits for the other handlers until
// they end or its patience does, and then keeps other handlers waiting until its own ends
// or aloneFor is over. A handler for which a suspect has waited in vain is not waited for
// again. Handlers of calls run beside all of this. It is safe for concurrent use.
type Alone struct {
	// suspects is how many suspects wait or run alone. While it is 0, other handlers
	// begin without looking at anything else.
	suspects atomic.Int32
	// crowd counts the other handlers, without those for which a suspect has waited in
	// vain. The suspect that has the turn replaces it.
	crowd atomic.Pointer[crowd]
	// left has a value for the suspect that has the turn when no handler is left in the
	// crowd. It is never closed.
	left chan struct{}
	// turn is full while a suspect has the turn: it waits for the other handlers, or runs
	// alone. It is never closed.
	turn chan struct{}
	// patience is how long the next suspect waits: half as long after a suspect that has
	// waited in vain, twice as long after another one. The suspect that has the turn
	// changes it.
	patience time.Duration

	mu      sync.Mutex // guards current, and the fields of the turn
	current *aloneTurn // of the suspect that has the turn; nil without one
}

// crowd counts handlers that run.
type crowd struct{ running atomic.Int64 }

// aloneTurn is the time in which one suspect has the turn.
type aloneTurn struct {
	over    chan struct{} // closed by endTurn
	timer   *time.Timer   // ends the turn after aloneFor
	waiting int64         // handlers that wait until the turn is over
	crowd   *crowd        // which these handlers join then
}

// Pass is the permission of a handler to run: as part of the crowd, or in a turn of its
// own.
type Pass struct {
	crowd *crowd
	turn  *aloneTurn
}

const (
	aloneFor      = 5 * time.Second
	leastPatience = 50 * time.Millisecond
)

// NewAlone makes the Alone of a server.
func NewAlone() *Alone {
	a := &Alone{left: make(chan struct{}, 1), turn: make(chan struct{}, 1), patience: aloneFor}
	a.crowd.Store(&crowd{})
	return a
}

// Begin waits until a handler may begin. It returns false if ctx ends before; else End
// follows.
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

// End says that the handler has ended that had the pass.
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

// await lets a handler that has joined the crowd wait until the turn is over, if a
// suspect has the turn.
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
	} else { // endTurn has just let it in
		a.leave(t.crowd)
	}
	return Pass{}, false
}

// beginAlone waits for the turn and then for the crowd.
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

// drain waits until no handler is left in the crowd, or the patience is over.
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

// endTurn lets in the handlers that wait, and the next suspect after them. For a turn that
// is over it does nothing.
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
