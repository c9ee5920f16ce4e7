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
// All that is sent is confirmed by a Pong of NATS, which comes when NATS has read
// all before its Ping. All that comes is bounded by the credit that its senders are
// given.
type Transit struct {
	nc     *nats.Conn
	start  func(func()) bool // starts a goroutine of the connection
	ctx    context.Context   //nolint:containedctx // the connection's
	epoch  time.Time
	inUse  atomic.Int64  // streams on which something came lately
	room   atomic.Uint64 // a flow.Room
	sent   atomic.Uint64 // bytes, since the connection was made
	read   atomic.Uint64 // the same of what was read from streams
	landed atomic.Uint64 // how much of sent NATS has, or is lost

	asking atomic.Bool   // the goroutine of run asks NATS
	since  atomic.Int64  // when NATS was asked that has not answered, in ns since epoch; 0: it has
	slow   atomic.Int64  // when NATS has answered late for the last time, in ns since epoch
	atSent atomic.Uint64 // sent, when NATS was asked for the last time
	atRead atomic.Uint64 // read, when NATS was asked for the last time

	mu         sync.Mutex           // guards the fields below
	waiting    map[*Stream]struct{} // streams whose writers wait for room
	stopAsking context.CancelFunc   // ends the wait for the answer of NATS
}

// Init prepares t for a connection, with whose life ctx ends; start starts a goroutine of
// the connection, unless it is closed.
func (t *Transit) Init(ctx context.Context, nc *nats.Conn, start func(func()) bool) {
	t.nc, t.start, t.ctx, t.epoch = nc, start, ctx, time.Now()
	t.room.Store(flow.FirstRoom)
	t.waiting = make(map[*Stream]struct{})
}

// window returns the window of a stream that would like to have w, beside the streams in
// use and so many others.
func (t *Transit) window(w flow.Window, others int) flow.Window {
	room := flow.Room(t.room.Load())
	w.Bytes = room.Share(int(t.inUse.Load())+others, w.Bytes)
	return w
}

// part returns the size of the parts of a large message.
func (t *Transit) part() int { return int(min(max(t.room.Load()/4, leastPart), mostPart)) }

// use says whether a stream counts among those in use, which share the room of the
// connection; s.mu is held.
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

// full reports whether the writers of streams have to wait.
func (t *Transit) full() bool { return t.sent.Load()-t.landed.Load() >= t.room.Load() }

// await has the writer of a stream woken when there may be room.
func (t *Transit) await(s *Stream) {
	t.mu.Lock()
	t.waiting[s] = struct{}{}
	t.mu.Unlock()
	t.Ask()
}

// wrote counts bytes that were sent. NATS is asked for an answer each time that these are
// a quarter of the room.
func (t *Transit) wrote(n int) {
	if t.sent.Add(uint64(n))-t.atSent.Load() >= t.room.Load()/4 {
		t.Ask()
	}
}

// took counts bytes that a reader has taken, as wrote does.
func (t *Transit) took(n uint64) {
	if t.read.Add(n)-t.atRead.Load() >= t.room.Load()/4 {
		t.Ask()
	}
}

// Ask has NATS asked for an answer, unless it has been asked and has not answered.
func (t *Transit) Ask() {
	if t.asking.CompareAndSwap(false, true) && !t.start(t.run) {
		t.asking.Store(false) // the connection is closed, and its streams end
	}
}

// run asks NATS until no writer waits for room.
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

// measure asks NATS once, and takes the time until the answer for a sign of how much the
// link carries.
func (t *Transit) measure() {
	ctx, cancel := context.WithTimeout(t.ctx, answerTimeout)
	defer cancel()
	t.mu.Lock()
	t.stopAsking = cancel
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
	t.landed.Store(sent) // without an answer too: bytes that a connection has lost are not under way
	t.mu.Unlock()
	t.wake()
}

// wake has the writers that wait look for room again.
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

// Reconnected says that an outage is over. The Ping that was sent before it is lost.
func (t *Transit) Reconnected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopAsking != nil {
		t.stopAsking()
	}
}

// Lags reports whether NATS answers late now, or did so a moment ago.
func (t *Transit) Lags() bool {
	now := int64(time.Since(t.epoch))
	since, slow := t.since.Load(), t.slow.Load()
	return since != 0 && now-since >= int64(flow.SlowAnswer) || slow != 0 && now-slow < int64(time.Second)
}
