package aegis

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

// pool is a server's workers. All its subscriptions deliver into one channel
// from which the workers take for themselves, so that there is no hand-over
// between a reader and a handler. There are two more workers than handlers may
// run at once: however busy the server is, somebody is free to refuse.
type pool struct {
	queue chan *nats.Msg
	serve func(*worker, *nats.Msg)
	size  int

	// waiting counts the workers that are free for the queue. It is 0 only for a
	// moment or when all workers are busy: who brings it to 0 calls another.
	waiting atomic.Int64
	workers atomic.Pointer[[]*worker]
	mu      sync.Mutex
	parked  []*worker // free, and not needed now; the last one is called first
	closed  bool
	running sync.WaitGroup
}

// worker serves one message at a time.
type worker struct {
	// current is the call that it serves now, nil between calls.
	current atomic.Pointer[handlerContext]
	payload []byte // scratch for the reply
	called  chan struct{}
}

func newPool(handlers int, serve func(*worker, *nats.Msg)) *pool {
	p := &pool{queue: make(chan *nats.Msg, queueLength), serve: serve, size: handlers + 2}
	p.workers.Store(&[]*worker{})
	p.call()
	return p
}

// call has one more worker wait for messages: a parked one, or a new one unless
// there are enough.
func (p *pool) call() {
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
	w := &worker{called: make(chan struct{}, 1)}
	old = append(old, w) // readers look no further than the length that they loaded
	p.workers.Store(&old)
	p.start(w)
}

func (p *pool) start(w *worker) {
	p.waiting.Add(1)
	p.running.Go(func() { p.work(w) })
}

func (p *pool) work(w *worker) {
	finished := false
	defer func() {
		if !finished { // a handler ended its goroutine with runtime.Goexit
			p.start(w)
		}
	}()
	for msg := range p.queue {
		if p.waiting.Add(-1) == 0 {
			p.call() // somebody has to wait for the next message
		}
		p.serve(w, msg)
		if p.waiting.Add(1) > hotWorkers {
			p.park(w)
		}
	}
	finished = true
}

// park waits until the worker is called, unless it is needed after all.
func (p *pool) park(w *worker) {
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

// each calls f with every call that is being served.
func (p *pool) each(f func(*handlerContext)) {
	for _, w := range *p.workers.Load() {
		if c := w.current.Load(); c != nil {
			f(c)
		}
	}
}

// close lets the workers serve what is queued and then end. Nothing may be
// queued any more when it is called. The returned channel is closed when all
// have ended.
func (p *pool) close() <-chan struct{} {
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
