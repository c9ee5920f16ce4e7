package work

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// Levels run the handlers of messages that come from several consumers, so many at
// once, those of a higher level first. They are safe for concurrent use.
type Levels struct {
	// Most is how many handlers run at once.
	Most int
	// InOrder says that there is one level with one message under way at a time: then
	// no more is asked for than that.
	InOrder bool
	// Run works a message, in a goroutine of its own.
	Run func(*Turn)

	flight sync.WaitGroup // of Run
	flying atomic.Int64   // the same, as a number

	mu      sync.Mutex // guards what follows
	stopped bool
	levels  []*level // those that are pulled from, the highest first
	old     []*level // those that are not any more, while something is held
	busy    int      // handlers
	pace    pull.Pace
	ahead   int
}

// level is one consumer.
type level struct {
	name    string
	owner   any
	puller  *pull.Puller
	waiting []*pull.Message
	// backlog is until when there is believed to be more.
	backlog time.Time
}

// Turn is one message that is being worked.
type Turn struct {
	*pull.Message

	// Owner is that of its level.
	Owner any

	levels *Levels
	freed  bool // another handler may run
}

const (
	// tendInterval is how often it is looked whether a lower level may be let in.
	tendInterval = 50 * time.Millisecond
	// backlogFor is how long a level is believed to have more, unless it delivers.
	backlogFor = 200 * time.Millisecond
	// minAhead is how many quick messages may be held ahead in any case.
	minAhead = 16
)

// Add begins to take the messages of a level, which is lower than those that were added
// before. Options lack Deliver. It does nothing after Stop.
func (v *Levels) Add(name string, owner any, options pull.Options) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped {
		return nil
	}
	// Lower levels come when it is known that the higher ones have nothing.
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

// Tend lets lower levels in again when a higher one turns out to be empty, until ctx
// ends.
func (v *Levels) Tend(ctx context.Context) {
	ticker := time.NewTicker(tendInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			v.mu.Lock()
			v.widen(now)
			v.mu.Unlock()
		case <-ctx.Done():
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
	v.dispatch()
}

// dispatch begins what waits, the highest level first. v.mu is held.
func (v *Levels) dispatch() {
	for _, levels := range [...][]*level{v.levels, v.old} { // without an allocation: it is done for each message
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
}

// Free lets another handler run, before Run has returned. It works once.
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

// widen asks for as many messages of a level as there is room for beside those of
// its own and of higher levels that wait, and for none while a higher level has
// more. v.mu is held.
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
			ask = max(ask, 1) // so that what is urgent is there when a handler ends
		}
		if blocked {
			ask = 0
		}
		l.puller.SetWindow(l.puller.Held() + ask)
		blocked = blocked || now.Before(l.backlog)
	}
}

// Leave takes no more messages of the levels that there are, and gives up those that
// hold nothing any more. It returns the names of the former.
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

// sweep closes the pullers of earlier levels that hold nothing any more.
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

// Stop takes no more messages, and gives those that have not begun to back.
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

// Wait returns when nothing runs; nothing new begins after Stop but what waits.
func (v *Levels) Wait() { v.flight.Wait() }

// Close ends the pullers. It follows Wait, or the end of the server's patience.
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

// Running is how many handlers run, and how many messages are finished otherwise.
func (v *Levels) Running() (handlers, others int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.busy, int(v.flying.Load()) - v.busy
}
