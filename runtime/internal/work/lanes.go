package work

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// Lanes run the handlers of pulled messages, a number of them at once, in the order in
// which the messages came. Goroutines are started when there is work for them, and stay
// until Close. Lanes are safe for concurrent use.
type Lanes struct {
	run   func(*pull.Message)
	back  func(*pull.Message) // gives a message back whose handler has not begun
	over  *atomic.Bool        // no handler is to begin any more
	queue chan *pull.Message  // closed by Close
	busy  atomic.Int64        // handlers that run

	mu      sync.Mutex // guards the next three
	most    int        // handlers at once
	workers int
	closed  bool
	ended   sync.WaitGroup // the goroutines
}

// NewLanes makes lanes that run up to most handlers at once and let up to room messages
// wait. Run works a message. Back gives a message back that was only taken, and does not
// wait. While over is true, all messages are given back.
func NewLanes(most, room int, over *atomic.Bool, run, back func(*pull.Message)) *Lanes {
	return &Lanes{run: run, back: back, over: over, most: most, queue: make(chan *pull.Message, room)}
}

// Put takes a message. After Close it gives the message back.
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

// Widen has the lanes run as many handlers at once as most, if they run fewer.
func (l *Lanes) Widen(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = max(l.most, most)
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

// one runs a handler, or gives the message back if it is too late for that.
func (l *Lanes) one(m *pull.Message) {
	if l.over.Load() {
		l.back(m) // another instance has time for it
		return
	}
	l.busy.Add(1)
	defer l.busy.Add(-1)
	l.run(m)
}

// Close takes no more messages. Those that wait are handled.
func (l *Lanes) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
}

// Running returns how many handlers run.
func (l *Lanes) Running() int { return int(l.busy.Load()) }

// Wait returns when no handler runs and no message waits. It follows Close.
func (l *Lanes) Wait() { l.ended.Wait() }

// Pace adapts the window of a puller to how quick the handlers of its messages are. It is
// safe for concurrent use.
type Pace struct {
	Puller *pull.Puller
	Most   int // handlers at once
	// OnlyOne says that a message has but one attempt. Then no message is held ahead of
	// the handlers: where attempts cannot be recorded, its delivery counts as its attempt.
	OnlyOne bool

	pace pull.Pace
}

// Done counts a message that was handled.
func (p *Pace) Done() {
	if !p.OnlyOne {
		p.Puller.SetWindow(p.Most + p.pace.Done(time.Now()))
	}
}
