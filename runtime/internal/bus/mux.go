package bus

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Frames takes the messages for the streams of a connection.
type Frames interface {
	// Deliver takes a message whose token begins with a capital letter.
	Deliver(token string, msg *nats.Msg)
	// AskedBy is called when another process has asked whether this one is there,
	// with the subject of the answer.
	AskedBy(reply string)
}

// mux takes the replies to all requests of a connection through one wildcard
// subscription and hands each to the request that waits for it. Slots are reused
// with everything that a request needs (channel, buffer), so that a request allocates
// next to nothing; the generation in the reply subject keeps a late reply to an
// abandoned request from the next user of its slot.
type mux struct {
	nc     *nats.Conn
	prefix string // "_INBOX.<nuid>."
	sub    *nats.Subscription
	frames Frames // nil without streams
	slots  atomic.Pointer[[]*Slot]
	nobody *string // see Slot.storedBy

	mu   sync.Mutex // guards free, and the growth of slots
	free []*Slot    // the slot used last is taken first: its memory is still in the cache

	collectors sync.Map      // of func(*nats.Msg), by token: requests with many replies
	collected  atomic.Uint64 // the number of tokens given out
}

// collect returns a reply subject whose replies all go to f, until stop is called. One
// goroutine at a time calls f, which must not wait.
func (m *mux) collect(f func(*nats.Msg)) (reply string, stop func()) {
	token := wire.CollectToken(m.collected.Add(1))
	m.collectors.Store(token, f)
	return m.prefix + token, func() { m.collectors.Delete(token) }
}

func newMux(nc *nats.Conn, frames Frames) (*mux, error) {
	m := &mux{nc: nc, prefix: nc.NewInbox() + ".", frames: frames, nobody: new(string)}
	m.slots.Store(&[]*Slot{})
	sub, err := nc.Subscribe(m.prefix+"*", m.deliver)
	if err != nil {
		return nil, err
	}
	// The requests that wait bound how many replies are pending here; nats.go's own
	// bound would drop replies.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	m.sub = sub
	if err := m.denied(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// denied returns NATS's error if this user may not subscribe to its replies. If the
// connection is down, the log says so once the connection is up.
func (m *mux) denied() error {
	const patience = 2 * time.Second
	answered := m.nc.IsConnected() && m.nc.FlushTimeout(patience) == nil
	if err := m.nc.LastError(); answered && denials.RefusesSubscription(err) && strings.Contains(err.Error(), m.prefix) {
		return err
	}
	return nil
}

// close is called when no request waits any more.
func (m *mux) close() {
	_ = m.sub.Unsubscribe() // fails only if it is gone already
	for _, slot := range *m.slots.Load() {
		slot.expiry.timer.Stop()
	}
}

// deliver is called by the one goroutine of the subscription.
func (m *mux) deliver(msg *nats.Msg) {
	token := msg.Subject[len(m.prefix):]
	if token != "" && token[0] < 'a' && token[0] > '9' { // in capitals
		if token[0] != 'B' {
			if m.frames != nil {
				m.frames.Deliver(token, msg)
			}
		} else if f, ok := m.collectors.Load(token); ok {
			f.(func(*nats.Msg))(msg) //nolint:forcetypeassert // nothing else is stored
		}
		return
	}
	id, generation, ok := wire.ParseReplyToken(token)
	if !ok {
		m.answerAlive(msg)
		return
	}
	slots := *m.slots.Load()
	if generation == 0 || id >= uint64(len(slots)) {
		return
	}
	slot := slots[id]
	if len(msg.Data) > 0 && msg.Data[0] == '{' && slot.waiting.Load() == generation && m.stored(slot, msg) {
		return
	}
	if slot.waiting.CompareAndSwap(generation, 0) {
		slot.replies <- msg
	}
}

// stored reports whether a message is JetStream's word that a stream stores the
// request, and not the reply to the request. A stream may store the messages of any
// subject, and says so to the sender of each.
func (m *mux) stored(slot *Slot, msg *nats.Msg) bool {
	if slot.storedBy.Load() == nil || len(msg.Header) > 0 {
		return false
	}
	stream, ok := wire.StoredBy(msg.Data)
	if ok {
		slot.storedBy.CompareAndSwap(m.nobody, &stream)
	}
	return ok
}

// answerAlive tells a server that this caller is still there. The server knows that
// already when NATS finds the subscription; the answer only ends its wait earlier.
func (m *mux) answerAlive(msg *nats.Msg) {
	if msg.Reply != "" && msg.Subject[len(m.prefix):] == wire.CallerAliveToken {
		_ = m.nc.Publish(msg.Reply, nil)
		if m.frames != nil {
			m.frames.AskedBy(msg.Reply)
		}
	}
}

func (m *mux) acquire() *Slot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		slot := m.free[n-1]
		m.free = m.free[:n-1]
		return slot
	}
	old := *m.slots.Load()
	slot := newSlot(uint64(len(old)))
	// Growing in place is safe: readers go no further than the length that they have
	// loaded.
	old = append(old, slot)
	m.slots.Store(&old)
	return slot
}

// MaxKeptPayload is the size in bytes up to which a buffer is kept for a further use.
const MaxKeptPayload = 64 << 10

func (m *mux) release(slot *Slot) {
	if cap(slot.Payload) > MaxKeptPayload {
		slot.Payload = nil
	}
	slot.Reply, slot.Message = "", nats.Msg{}
	m.mu.Lock()
	m.free = append(m.free, slot)
	m.mu.Unlock()
}

// expect starts a generation for a request and returns its reply subject.
func (m *mux) expect(slot *Slot, r *Request) string {
	slot.generation++
	slot.reply = append(slot.reply[:0], m.prefix...)
	if slot.Reply != "" {
		slot.reply = append(slot.reply[:0], slot.Reply...)
	} else {
		slot.reply = wire.AppendReplyToken(slot.reply, slot.id, slot.generation)
	}
	slot.target.Store(r.Subject)
	if slot.repeat.Load() != r.Repeat { // a load costs less than a store
		slot.repeat.Store(r.Repeat)
	}
	var stored *string
	if r.Call {
		stored = m.nobody
	}
	if slot.storedBy.Load() != stored { // as above
		slot.storedBy.Store(stored)
	}
	slot.expiry.deadline.Store(never)
	slot.waiting.Store(slot.generation)
	return string(slot.reply)
}

// waitingFor returns the waiting requests whose target matches.
func (m *mux) waitingFor(match func(target string) bool) []Waiting {
	var all []Waiting
	for _, slot := range *m.slots.Load() {
		generation := slot.waiting.Load()
		target := slot.target.Load()
		if generation != 0 && target != nil && match(*target) {
			all = append(all, Waiting{slot, generation})
		}
	}
	return all
}

// Waiting is a request that waits for its reply.
type Waiting struct {
	slot       *Slot
	generation uint64
}

// waits reports whether the request still waits.
func (w Waiting) waits() bool { return w.slot.waiting.Load() == w.generation }

// Fail ends the request, if it still waits.
func (w Waiting) Fail(why *status.Status) {
	if w.slot.waiting.CompareAndSwap(w.generation, 0) {
		w.slot.failure = why
		w.slot.replies <- nil
	}
}
