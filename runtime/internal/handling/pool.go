// Package handling runs the handlers of calls: the subscriptions and the workers that
// take requests off one queue, the routes of the requests, the contexts of the handlers
// and their replies, the callers that wait no longer, the pauses of the process after
// which a request is of unknown age, and the grace period of a stop.
package handling

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// queueLength is how many messages may wait for a worker. They never wait for
// long: a request that exceeds its service's bound is refused at once. nats.go drops a
// message that finds the queue full. A flood of a million messages a second overran 8,192
// places in trials, and 65,536 only while other processes kept both cores busy.
const queueLength = 1 << 18

// hotWorkers is how many workers wait for messages at the same time. Go wakes
// waiting goroutines in turn, so with all of them waiting each message would
// wake the one whose memory is the coldest; a few that come back for more find
// the next message in the queue, and do not sleep at all.
const hotWorkers = 4

// Pool has the workers of one server. All its subscriptions deliver into one channel,
// from which the workers take messages themselves, so that there is no hand-over
// between a reader and a handler. There are two more workers than handlers may
// run at once: however busy the server is, a worker is free to refuse requests. A Pool is
// safe for concurrent use.
type Pool struct {
	queue   chan *nats.Msg // subscriptions send; Close closes it
	serve   func(*Worker, *nats.Msg)
	size    int
	cancels cancels
	probing atomic.Bool    // callers are being asked whether they are still there
	asking  sync.WaitGroup // the goroutines that ask

	// waiting counts the workers that are free for the queue. It is 0 only for a
	// moment, or when all workers are busy: the worker that brings it to 0 calls another one.
	waiting atomic.Int64
	workers atomic.Pointer[[]*Worker]
	mu      sync.Mutex // guards parked and closed, and is held while workers changes
	parked  []*Worker  // free workers that are not needed now; the last one is called first
	closed  bool
	running sync.WaitGroup
}

// Worker serves one message at a time.
type Worker struct {
	// Payload is a buffer for replies. It belongs to the worker's goroutine.
	Payload []byte

	pool    *Pool
	current atomic.Pointer[Context] // of the handler that runs now; nil if none does
	called  chan struct{}           // has room for one: a parked worker is called once
}

// NewPool makes a pool that runs so many handlers at once. It calls serve with each
// message of the queue, in the goroutine of a worker.
func NewPool(handlers int, serve func(*Worker, *nats.Msg)) *Pool {
	p := &Pool{queue: make(chan *nats.Msg, queueLength), serve: serve, size: handlers + 2}
	p.workers.Store(&[]*Worker{})
	p.call()
	return p
}

// Queue returns the channel into which subscriptions deliver.
func (p *Pool) Queue() chan *nats.Msg { return p.queue }

// Begin is called before the handler with the context c runs. It reports false if the
// caller has canceled the call already: the handler must not run then. Else End follows.
func (w *Worker) Begin(c *Context) bool {
	w.current.Store(c)
	if w.pool.cancels.take(c.Reply) {
		w.current.Store(nil)
		return false
	}
	return true
}

// End is called when the handler has returned.
func (w *Worker) End() { w.current.Store(nil) }

// call has one more worker wait for messages: a parked one, or a new one unless
// there are enough.
func (p *Pool) call() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.parked); n > 0 {
		w := p.parked[n-1]
		p.parked = p.parked[:n-1]
		p.waiting.Add(1)
		w.called <- struct{}{}
		return
	}
	old := *p.workers.Load()
	if len(old) >= p.size {
		return
	}
	w := &Worker{pool: p, called: make(chan struct{}, 1)}
	old = append(old, w) // those who have loaded the old slice do not see past its length
	p.workers.Store(&old)
	p.start(w)
}

func (p *Pool) start(w *Worker) {
	p.waiting.Add(1)
	p.running.Go(func() { p.work(w) })
}

func (p *Pool) work(w *Worker) {
	finished := false
	defer func() {
		if !finished { // a handler ended its goroutine with runtime.Goexit
			p.start(w)
		}
	}()
	for msg := range p.queue {
		if p.waiting.Add(-1) == 0 {
			p.call() // one worker has to wait for the next message
		}
		p.serve(w, msg)
		if p.waiting.Add(1) > hotWorkers {
			p.park(w)
		}
	}
	finished = true
}

// park waits until the worker is called. It returns at once if a message is queued, or
// if no other worker would be left to wait.
func (p *Pool) park(w *Worker) {
	p.mu.Lock()
	if p.closed || len(p.queue) > 0 {
		p.mu.Unlock()
		return
	}
	if p.waiting.Add(-1) == 0 {
		p.waiting.Add(1)
		p.mu.Unlock()
		return
	}
	p.parked = append(p.parked, w)
	p.mu.Unlock()
	<-w.called
}

// Each calls f with the context of every handler that runs.
func (p *Pool) Each(f func(*Context)) {
	for _, w := range *p.workers.Load() {
		if c := w.current.Load(); c != nil {
			f(c)
		}
	}
}

// Close has the workers serve the messages that are queued, and then end. No message
// may be queued after the call. The returned channel is closed when all workers have
// ended.
func (p *Pool) Close() <-chan struct{} {
	close(p.queue)
	p.mu.Lock()
	p.closed = true
	for _, w := range p.parked {
		w.called <- struct{}{}
	}
	p.parked = nil
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	return done
}
