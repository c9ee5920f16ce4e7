package rpcstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

// answerTimeout bounds the wait for an answer of NATS. On a connection that hears
// nothing for so long nats.go gives up itself.
const answerTimeout = 10 * time.Second

// Transit bounds what the streams of a connection have under way between this
// process and its NATS server. More than the link carries in about a second would
// only wait in its buffers: everything else on the connection would wait behind it,
// signs of life and nats.go's own pings among it, and a NATS server gives up a
// client that does not take what it is sent within 10 s.
//
// What is sent is confirmed by a Pong of NATS, which comes when NATS has read
// all before its Ping. What comes is bounded by the credit that its senders are
// given.
type Transit struct {
	nc     *nats.Conn
	start  func(func()) bool // starts a goroutine of the connection
	ctx    context.Context   //nolint:containedctx // of the connection
	epoch  time.Time
	inUse  atomic.Int64  // streams on which something came lately
	room   atomic.Uint64 // a flow.Room
	sent   atomic.Uint64 // bytes, since the connection was made
	read   atomic.Uint64 // the same of what was read from streams
	landed atomic.Uint64 // of sent: NATS has it, or it is lost

	asking  atomic.Bool
	since   atomic.Int64  // ns since epoch: when NATS was asked that has not answered; 0: it has
	slow    atomic.Int64  // the same: when it answered late for the last time
	atSent  atomic.Uint64 // sent and read when it was asked for the last time
	atRead  atomic.Uint64
	mu      sync.Mutex
	waiting map[*Stream]struct{} // their writers wait for room
	forget  context.CancelFunc   // ends the wait for an answer
}

// Init begins to measure a connection; ctx is the connection's, and start starts a
// goroutine of it, unless it is closed.
func (t *Transit) Init(ctx context.Context, nc *nats.Conn, start func(func()) bool) {
	t.nc, t.start, t.ctx, t.epoch = nc, start, ctx, time.Now()
	t.room.Store(flow.FirstRoom)
	t.waiting = make(map[*Stream]struct{})
}

// window is what a stream is given that would like to have w.
func (t *Transit) window(w flow.Window, others int) flow.Window {
	room := flow.Room(t.room.Load())
	w.Bytes = room.Share(int(t.inUse.Load())+others, w.Bytes)
	return w
}

// part is how large the parts of a large message are to be.
func (t *Transit) part() int { return int(min(max(t.room.Load()/4, leastPart), mostPart)) }

// use says whether a stream counts among those that something comes on; s.mu is
// held.
func (s *Stream) use(is bool) {
	switch {
	case is == s.sync.inUse:
		return
	case is:
		s.hub.transit.inUse.Add(1)
	default:
		s.hub.transit.inUse.Add(-1)
	}
	s.sync.inUse = is
}

// full reports whether a writer has to wait.
func (t *Transit) full() bool { return t.sent.Load()-t.landed.Load() >= t.room.Load() }

// await has a stream woken when there is room, or may be.
func (t *Transit) await(s *Stream) {
	t.mu.Lock()
	t.waiting[s] = struct{}{}
	t.mu.Unlock()
	t.Ask()
}

// wrote counts what was sent, and took what a reader has taken. Both ask NATS for
// an answer each time that a quarter of the room is through.
func (t *Transit) wrote(n int) {
	if t.sent.Add(uint64(n))-t.atSent.Load() >= t.room.Load()/4 {
		t.Ask()
	}
}

func (t *Transit) took(n uint64) {
	if t.read.Add(n)-t.atRead.Load() >= t.room.Load()/4 {
		t.Ask()
	}
}

// Ask has NATS asked, unless that is under way.
func (t *Transit) Ask() {
	if t.asking.CompareAndSwap(false, true) && !t.start(t.run) {
		t.asking.Store(false) // the connection is closed, and its streams end
	}
}

func (t *Transit) run() {
	for {
		t.measure()
		t.asking.Store(false)
		t.mu.Lock()
		more := len(t.waiting) > 0
		t.mu.Unlock()
		if !more || t.ctx.Err() != nil || !t.asking.CompareAndSwap(false, true) {
			return
		}
	}
}

// measure asks NATS once.
func (t *Transit) measure() {
	ctx, cancel := context.WithTimeout(t.ctx, answerTimeout)
	defer cancel()
	t.mu.Lock()
	t.forget = cancel
	t.mu.Unlock()
	sent, read, quarter := t.sent.Load(), t.read.Load(), t.room.Load()/4
	used := sent-t.atSent.Swap(sent) >= quarter || read-t.atRead.Swap(read) >= quarter
	begun := time.Since(t.epoch)
	t.since.Store(int64(begun))
	var err error
	if t.nc.IsConnected() {
		err = t.nc.FlushWithContext(ctx)
	}
	t.since.Store(0)
	after := time.Since(t.epoch) - begun
	if after >= flow.SlowAnswer {
		t.slow.Store(int64(begun + after))
	}
	t.mu.Lock()
	room := flow.Room(t.room.Load())
	room.Answered(after, used)
	if err == nil {
		t.room.Store(uint64(room))
	}
	t.landed.Store(sent) // what a connection has lost is under way no more either
	t.mu.Unlock()
	t.wake()
}

// wake has the writers look again.
func (t *Transit) wake() {
	t.mu.Lock()
	waiting := t.waiting
	if len(waiting) > 0 {
		t.waiting = make(map[*Stream]struct{})
	}
	t.mu.Unlock()
	for s := range waiting {
		s.mu.Lock()
		s.writable.Signal()
		s.mu.Unlock()
	}
}

// Reconnected follows an outage, in which the Ping was lost.
func (t *Transit) Reconnected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forget != nil {
		t.forget()
	}
}

// Lags reports whether NATS answers late now, or did so a moment ago.
func (t *Transit) Lags() bool {
	now := int64(time.Since(t.epoch))
	since, slow := t.since.Load(), t.slow.Load()
	return since != 0 && now-since >= int64(flow.SlowAnswer) || slow != 0 && now-slow < int64(time.Second)
}
