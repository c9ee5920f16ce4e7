// Package board has all that the monitor knows, and makes the documents of its API of it. It
// is told what package collect reads from NATS, reads no clock and touches no network.
//
// The board keeps all of it by service: its instances (instance.go), figures (meter.go), leaders
// (leader.go), durable work (work.go) and dead letters (letter.go). Tick judges it
// (finding*.go, judge.go), and document.go and its neighbours show it. What comes from NATS
// may be anything: all of it is bounded (limit.go), and a figure that cannot be is dropped.
package board

import (
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/activity"
)

// hurry is the least time between two judgements because of leaders, so that a flood of terms
// costs no more than some.
const hurry = 50 * time.Millisecond

// hour is how long history is kept.
const hour = time.Hour

// Config is how a board is made.
type Config struct {
	Namespace string
	// Urgent is called, outside of the board's lock, when a leader or the connection has
	// changed: documents with it are to be shown at once. nil for nobody.
	Urgent func()
}

// Board is all that the monitor knows. It is safe for concurrent use.
type Board struct {
	config  Config
	started time.Time // watching has begun

	mu       sync.Mutex // guards all below
	revision uint64
	urgent   bool // Urgent is to be called when the lock is released
	link     link
	sources  sources
	services map[string]*service
	// What the protos say, by service.
	descriptions map[string]*Description
	census       census
	doubts       []doubt // of leaders, see settleLeaders
	judge        judge
	activity     activity.Log
	ticked       time.Time // the last Tick; zero before the first one
	stirred      bool      // a leader has changed since the last judgement
}

// New returns an empty board. Watching has begun at now.
func New(config Config, now time.Time) *Board {
	return &Board{
		config: config, started: now, services: map[string]*service{}, descriptions: map[string]*Description{},
		link: link{since: now}, sources: newSources(), judge: judge{held: map[string]*held{}},
	}
}

// unlock releases the lock, and says what is urgent.
func (b *Board) unlock() {
	urgent := b.urgent
	b.urgent = false
	b.mu.Unlock()
	if urgent && b.config.Urgent != nil {
		b.config.Urgent()
	}
}

// unlockJudged releases the lock after a change of leaders may have been taken in: their
// findings do not wait for the next Tick.
func (b *Board) unlockJudged(now time.Time) {
	if b.stirred && now.Sub(b.judge.last) >= hurry {
		b.judgeAll(now)
	}
	b.unlock()
}

// changed takes in that the documents are others from now on.
func (b *Board) changed() { b.revision++ }

// tell adds an event to the activity.
func (b *Board) tell(now time.Time, e monitorapi.Event) {
	e.Text = clip(e.Text)
	b.activity.Add(now, e)
	b.changed()
}

// Acted takes in that somebody has done something over this monitor. The event has its time
// and number from the board.
func (b *Board) Acted(now time.Time, e monitorapi.Event) {
	b.mu.Lock()
	defer b.unlock()
	b.tell(now, e)
}

// Tick judges what is known: findings begin and end, and what is older than an hour is
// forgotten. It is called after each round of reading.
func (b *Board) Tick(now time.Time) {
	b.mu.Lock()
	defer b.unlock()
	over := now.Sub(b.ticked)
	if b.ticked.IsZero() {
		over = 0
	}
	b.ticked = now
	b.settleLeaders(now)
	b.settleInstances(now)
	b.measure(now, over)
	b.judgeAll(now)
	b.forget(now)
	b.changed()
}

// forget removes what is older than an hour.
func (b *Board) forget(now time.Time) {
	b.activity.Forget(now)
	for name, s := range b.services {
		s.forgetCounters(now)
		b.forgetGroups(now, s)
		if s.empty() {
			delete(b.services, name)
		}
	}
	b.recount()
}
