package aegis

import (
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// queueLength is how many messages may wait for a worker. They never wait for
// long: what exceeds a service's bound is refused at once. nats.go drops what
// finds the queue full, and a flood of a million messages a second did overrun
// 8,192 places in trials, but not 65,536.
const queueLength = 1 << 16

// pool is a server's workers. All its subscriptions deliver into one channel
// from which the workers take for themselves, so that there is no hand-over
// between a reader and a handler. There are two more workers than handlers may
// run at once: however busy the server is, somebody is free to refuse.
type pool struct {
	queue chan *nats.Msg
	serve func(*worker, *nats.Msg)
	size  int

	idle    atomic.Int64
	workers atomic.Pointer[[]*worker]
	mu      sync.Mutex
	running sync.WaitGroup
}

// worker serves one message at a time.
type worker struct {
	// current is the call that it serves now, nil between calls.
	current atomic.Pointer[handlerContext]
	payload []byte // scratch for the reply
}

func newPool(handlers int, serve func(*worker, *nats.Msg)) *pool {
	p := &pool{queue: make(chan *nats.Msg, queueLength), serve: serve, size: handlers + 2}
	p.workers.Store(&[]*worker{})
	p.grow()
	return p
}

// grow starts one more worker, unless there are enough.
func (p *pool) grow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.workers.Load()
	if len(old) >= p.size {
		return
	}
	w := &worker{}
	old = append(old, w) // readers look no further than the length that they loaded
	p.workers.Store(&old)
	p.start(w)
}

func (p *pool) start(w *worker) {
	p.idle.Add(1)
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
		if p.idle.Add(-1) == 0 {
			p.grow() // somebody has to wait for the next message
		}
		p.serve(w, msg)
		p.idle.Add(1)
	}
	finished = true
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
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	return done
}
