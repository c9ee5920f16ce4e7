package work

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// Lanes run the handlers of messages that were pulled, so many at once, in the
// order in which the messages came. Goroutines are started when there is work
// for them, and stay. They are safe for concurrent use.
type Lanes struct {
	run   func(*pull.Message)
	back  func(*pull.Message) // gives one back that was only taken, and does not wait
	over  *atomic.Bool        // nothing more is to begin
	most  int
	queue chan *pull.Message
	busy  atomic.Int64 // handlers

	mu      sync.Mutex
	workers int
	closed  bool
	ended   sync.WaitGroup
}

// NewLanes makes lanes that take up to room messages without waiting.
func NewLanes(most, room int, over *atomic.Bool, run, back func(*pull.Message)) *Lanes {
	return &Lanes{run: run, back: back, over: over, most: most, queue: make(chan *pull.Message, room)}
}

// Put takes a message; after Close it is given back.
func (l *Lanes) Put(m *pull.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.back(m)
		return
	}
	l.queue <- m
	if l.workers < l.most && (l.workers == 0 || len(l.queue) > 0) {
		l.workers++
		l.ended.Add(1)
		go l.work()
	}
}

func (l *Lanes) work() {
	finished := false
	defer func() {
		if !finished { // a handler ended its goroutine with runtime.Goexit
			go l.work()
			return
		}
		l.ended.Done()
	}()
	for m := range l.queue {
		l.one(m)
	}
	finished = true
}

func (l *Lanes) one(m *pull.Message) {
	if l.over.Load() {
		l.back(m) // somebody else has time for it
		return
	}
	l.busy.Add(1)
	defer l.busy.Add(-1)
	l.run(m)
}

// Close lets the workers handle what waits, and then end.
func (l *Lanes) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
}

// Running is how many handlers run.
func (l *Lanes) Running() int { return int(l.busy.Load()) }

// Wait returns when all that waited has been handled. It follows Close.
func (l *Lanes) Wait() { l.ended.Wait() }

// Pace adapts the window of a puller to how quick its handlers are. It is safe for
// concurrent use.
type Pace struct {
	Puller *pull.Puller
	Most   int // handlers at once
	// OnlyOne says that a message has but one attempt. Nothing is held then that is not
	// begun: if attempts cannot be recorded, a delivery is one.
	OnlyOne bool

	pace pull.Pace
}

// Done counts a message that has been handled.
func (p *Pace) Done() {
	if !p.OnlyOne {
		p.Puller.SetWindow(p.Most + p.pace.Done(time.Now()))
	}
}
