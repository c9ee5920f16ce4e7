// Package handling runs the handlers of calls: the workers that take requests off
// one queue, the contexts of the handlers, the callers that wait no longer, and whether
// the process was paused, so that a request is of unknown age.
package handling

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// queueLength is how many messages may wait for a worker. They never wait for
// long: what exceeds a service's bound is refused at once. nats.go drops what
// finds the queue full. A flood of a million messages a second overran 8,192
// places in trials, and 65,536 only while others kept both cores busy.
const queueLength = 1 << 18

// hotWorkers is how many workers wait for messages at the same time. Go wakes
// waiting goroutines in turn, so with all of them waiting each message would
// wake the one whose memory is the coldest; a few that come back for more find
// the next message in the queue, and do not sleep at all.
const hotWorkers = 4

// Pool is the workers of one server. All its subscriptions deliver into one channel
// from which the workers take for themselves, so that there is no hand-over
// between a reader and a handler. There are two more workers than handlers may
// run at once: however busy the server is, one of them is free to refuse. A Pool is
// safe for concurrent use.
type Pool struct {
	queue   chan *nats.Msg
	serve   func(*Worker, *nats.Msg)
	size    int
	cancels cancels
	probing atomic.Bool    // callers are being asked whether they are still there
	asking  sync.WaitGroup // the goroutines that ask

	// waiting counts the workers that are free for the queue. It is 0 only for a
	// moment or when all workers are busy: the worker that brings it to 0 calls another.
	waiting atomic.Int64
	workers atomic.Pointer[[]*Worker]
	mu      sync.Mutex // guards parked and closed, and the changes of workers
	parked  []*Worker  // free, and not needed now; the last one is called first
	closed  bool
	running sync.WaitGroup
}

// Worker serves one message at a time.
type Worker struct {
	// Payload is scratch for the reply.
	Payload []byte

	pool    *Pool
	current atomic.Pointer[Context] // of the call that it serves now; nil between calls
	called  chan struct{}
}

// NewPool makes a pool for so many handlers at once. Serve is called with each message
// of the queue, in the goroutine of a worker.
func NewPool(handlers int, serve func(*Worker, *nats.Msg)) *Pool {
	p := &Pool{queue: make(chan *nats.Msg, queueLength), serve: serve, size: handlers + 2}
	p.workers.Store(&[]*Worker{})
	p.call()
	return p
}

// Queue is where subscriptions deliver.
func (p *Pool) Queue() chan *nats.Msg { return p.queue }

// Begin says that the worker is about to run the handler of c. It reports false if
// the caller has canceled the call already; the handler must not run then. Else End
// follows.
func (w *Worker) Begin(c *Context) bool {
	w.current.Store(c)
	if w.pool.cancels.take(c.Reply) {
		w.current.Store(nil)
		return false
	}
	return true
}

// End says that the handler has returned.
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
	old = append(old, w) // readers look no further than the length that they loaded
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

// park waits until the worker is called, unless it is needed after all.
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

// Close lets the workers serve what is queued and then end. Nothing may be
// queued any more when it is called. The returned channel is closed when all
// have ended.
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
