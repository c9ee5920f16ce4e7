package aegis

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// lanes run the handlers of messages that were pulled, so many at once, in the
// order in which the messages came. Goroutines are started when there is work
// for them, and stay.
type lanes struct {
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

// newLanes makes lanes that take up to room messages without waiting.
func newLanes(most, room int, over *atomic.Bool, run, back func(*pull.Message)) *lanes {
	return &lanes{run: run, back: back, over: over, most: most, queue: make(chan *pull.Message, room)}
}

// put takes a message; after close it is given back.
func (l *lanes) put(m *pull.Message) {
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

func (l *lanes) work() {
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

func (l *lanes) one(m *pull.Message) {
	if l.over.Load() {
		l.back(m) // somebody else has time for it
		return
	}
	l.busy.Add(1)
	defer l.busy.Add(-1)
	l.run(m)
}

// close lets the workers handle what waits, and then end.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
}

func (l *lanes) wait() { l.ended.Wait() }

// pace adapts the window of a puller to how quick its handlers are.
type pace struct {
	puller *pull.Puller
	most   int // handlers at once
	// Where there is but one attempt, nothing is held that is not begun: if attempts
	// cannot be recorded, a delivery is one.
	onlyOne bool
	pace    pull.Pace
}

func (p *pace) done() {
	if !p.onlyOne {
		p.puller.SetWindow(p.most + p.pace.Done(time.Now()))
	}
}
