package work

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// Levels run the handlers of messages that come from several consumers, a number of them
// at once, and those of a higher level first. Levels are safe for concurrent use.
type Levels struct {
	// Most is how many handlers run at once.
	Most int
	// InOrder says that there is one level with one message under way at a time. Then no
	// more messages are asked for than that.
	InOrder bool
	// Run works a message, in a goroutine of its own.
	Run func(*Turn)

	flight sync.WaitGroup // the goroutines of Run
	flying atomic.Int64   // their number

	mu      sync.Mutex // guards what follows
	stopped bool
	levels  []*level // from which messages are pulled, the highest first
	old     []*level // from which no more are pulled, while messages of theirs are held
	busy    int      // handlers that run
	pace    pull.Pace
	ahead   int  // messages that may be held ahead of the handlers
	tending bool // tend is called in a moment
}

// level is one consumer.
type level struct {
	name    string
	owner   any
	puller  *pull.Puller
	waiting []*pull.Message
	backlog time.Time // until when the consumer is believed to have more messages
}

// Turn is one message that is being worked.
type Turn struct {
	*pull.Message

	// Owner is the owner of the level.
	Owner any

	levels *Levels
	freed  bool // Free was called
}

const (
	// tendInterval is how often tend looks whether lower levels may be let in, while some
	// are not.
	tendInterval = 50 * time.Millisecond
	// backlogFor is how long a level is believed to have more messages than it has
	// delivered.
	backlogFor = 200 * time.Millisecond
	// minAhead is how many messages may be held ahead of quick handlers in any case.
	minAhead = 16
)

// Add begins to take the messages of a level, which is lower than the levels that were
// added before. Options come without Deliver. After Stop, Add does nothing.
func (v *Levels) Add(name string, owner any, options pull.Options) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped {
		return nil
	}
	// The lower levels are let in when this one is known to have no messages.
	l := &level{name: name, owner: owner, backlog: time.Now().Add(backlogFor)}
	options.Deliver = func(m *pull.Message) { v.delivered(l, m) }
	var err error
	if l.puller, err = pull.Start(options); err != nil {
		return err
	}
	v.levels = append(v.levels, l)
	if v.InOrder {
		l.puller.SetWindow(2) // one under way, and one that NATS knows where to send
	}
	v.widen(time.Now())
	return nil
}

// Pulling reports whether there is a level.
func (v *Levels) Pulling() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.levels) > 0
}

// tend lets lower levels in again when a higher one turns out to be empty.
func (v *Levels) tend() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tending = false
	v.widen(time.Now())
}

// tendLater has tend called in a moment if lower levels have to wait until then. v.mu is
// held.
func (v *Levels) tendLater(now time.Time) {
	if v.tending || v.stopped || v.InOrder {
		return
	}
	for i, l := range v.levels {
		if i+1 < len(v.levels) && now.Before(l.backlog) {
			v.tending = true
			time.AfterFunc(tendInterval, v.tend)
			return
		}
	}
}

func (v *Levels) delivered(l *level, m *pull.Message) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	l.waiting = append(l.waiting, m)
	l.backlog = time.Time{}
	if m.Pending > 0 {
		l.backlog = now.Add(backlogFor)
	}
	v.tendLater(now)
	v.dispatch()
}

// dispatch starts handlers of messages that wait, those of the highest level first. v.mu
// is held.
func (v *Levels) dispatch() {
	for _, levels := range [...][]*level{v.levels, v.old} { // an array, as this must not allocate for each message
		for _, l := range levels {
			for len(l.waiting) > 0 && v.busy < v.Most {
				m := l.waiting[0]
				l.waiting = l.waiting[1:]
				v.busy++
				v.flying.Add(1)
				v.flight.Add(1)
				go v.one(&Turn{Message: m, Owner: l.owner, levels: v})
			}
		}
	}
}

func (v *Levels) one(t *Turn) {
	defer v.flight.Done()
	defer v.flying.Add(-1)
	defer t.Free() // also if the handler ends its goroutine
	v.Run(t)
	if t.freed { // the message is not held any more, and must make no room for another one
		v.mu.Lock()
		defer v.mu.Unlock()
		v.widen(time.Now())
	}
}

// Free lets another handler run although Run has not returned yet. Further calls do
// nothing.
func (t *Turn) Free() {
	if t.freed {
		return
	}
	t.freed = true
	now, v := time.Now(), t.levels
	v.mu.Lock()
	defer v.mu.Unlock()
	v.busy--
	v.ahead = v.pace.Done(now)
	v.dispatch()
	v.widen(now)
}

// widen asks each level for as many messages as there is room for, beside the messages of
// this and of higher levels that wait; while a higher level has more, it asks for none.
// v.mu is held.
func (v *Levels) widen(now time.Time) {
	if v.stopped || v.InOrder {
		return
	}
	room := v.Most - v.busy + min(v.ahead, max(v.Most, minAhead))
	blocked := false
	for i, l := range v.levels {
		room -= len(l.waiting)
		ask := max(room, 0)
		if i+1 < len(v.levels) && len(l.waiting) == 0 {
			ask = max(ask, 1) // so that an urgent message is there when a handler ends
		}
		if blocked {
			ask = 0
		}
		l.puller.SetWindow(l.puller.Held() + ask)
		blocked = blocked || now.Before(l.backlog)
	}
	v.tendLater(now)
}

// Leave takes no more messages of all present levels, and closes those that hold no
// messages. It returns the names of the levels that it has left. Patience bounds how long
// each of them is waited for.
func (v *Levels) Leave(patience time.Duration) []string {
	v.mu.Lock()
	left := v.levels
	v.levels = nil
	v.old = append(v.old, left...)
	v.mu.Unlock()
	var names []string
	for _, l := range left {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		l.puller.Stop(ctx)
		cancel()
		names = append(names, l.name)
	}
	v.sweep()
	return names
}

// sweep closes the pullers of left levels that hold no messages.
func (v *Levels) sweep() {
	v.mu.Lock()
	var empty []*level
	v.old = slices.DeleteFunc(v.old, func(l *level) bool {
		if l.puller.Held() == 0 {
			empty = append(empty, l)
			return true
		}
		return false
	})
	v.mu.Unlock()
	for _, l := range empty {
		l.puller.Close()
	}
}

// Stop takes no more messages, and gives messages back whose handlers have not begun.
func (v *Levels) Stop(ctx context.Context, back func(*pull.Message)) {
	v.mu.Lock()
	v.stopped = true
	all := slices.Concat(v.levels, v.old)
	v.mu.Unlock()
	StopPulling(ctx, pullersOf(all))
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range all {
		for _, m := range l.waiting {
			back(m)
		}
		l.waiting = nil
	}
}

// Wait returns when no handler runs. It follows Stop.
func (v *Levels) Wait() { v.flight.Wait() }

// Close closes the pullers, which lets go of all messages. It follows Wait, or the end of
// the server's patience.
func (v *Levels) Close() {
	v.mu.Lock()
	all := slices.Concat(v.levels, v.old)
	v.mu.Unlock()
	for _, p := range pullersOf(all) {
		p.Close()
	}
}

func pullersOf(levels []*level) []*pull.Puller {
	pullers := make([]*pull.Puller, 0, len(levels))
	for _, l := range levels {
		pullers = append(pullers, l.puller)
	}
	return pullers
}

// Running returns how many handlers run, and how many messages are worked on after their
// handlers: results are being stored.
func (v *Levels) Running() (handlers, others int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.busy, int(v.flying.Load()) - v.busy
}
