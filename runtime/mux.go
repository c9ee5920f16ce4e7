package aegis

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// replyMux takes the replies to all calls of a connection through one wildcard
// subscription and hands each to the call that waits for it. Slots are reused
// with everything that a call needs (channel, buffer), so that a call allocates
// next to nothing; the generation in the reply subject keeps a late reply to an
// abandoned call from the next user of its slot.
type replyMux struct {
	nc     *nats.Conn
	prefix string // "_INBOX.<nuid>."
	sub    *nats.Subscription
	// streams has what comes for streams.
	streams *streamHub
	slots   atomic.Pointer[[]*replySlot]
	nobody  *string // see replySlot.storedBy

	mu   sync.Mutex
	free []*replySlot // the last one used first: its memory is still in the cache

	collectors sync.Map // of func(*nats.Msg), by token: requests with many replies
	collected  atomic.Uint64
}

// collect returns a reply subject whose replies all go to f, until stop is
// called. f is called by one goroutine at a time and must not wait.
func (m *replyMux) collect(f func(*nats.Msg)) (reply string, stop func()) {
	token := wire.CollectToken(m.collected.Add(1))
	m.collectors.Store(token, f)
	return m.prefix + token, func() { m.collectors.Delete(token) }
}

// replySlot is the place of one call at a time.
type replySlot struct {
	id         uint64
	generation uint64
	// waiting is the generation whose reply is awaited, 0 when none is. Whoever
	// swaps it to 0 decides: the mux, which then delivers, or the call, which
	// then leaves.
	waiting atomic.Uint64
	replies chan *nats.Msg // of one, and empty whenever waiting is not 0
	failure *Error         // why nil was delivered
	// target is the subject that the call was sent to.
	target atomic.Pointer[string]
	// storedBy is nil where JetStream's answers are replies. Of a call it is the name
	// of the stream that has answered, and the mux's nobody so far.
	storedBy atomic.Pointer[string]
	expiry   expiry
	stream   *stream // that is to be opened; nil for a unary call

	pick    *pick       // of calls that pick their instance, nil before the first
	reply   []byte      // scratch for the reply subject
	payload []byte      // scratch for the request
	message nats.Msg    // scratch for a request with headers
	header  nats.Header // scratch for those of what is stored; see headers
	timeout timeoutHeader
}

func newReplyMux(nc *nats.Conn, streams *streamHub) (*replyMux, error) {
	m := &replyMux{nc: nc, prefix: nc.NewInbox() + ".", streams: streams, nobody: new(string)}
	m.slots.Store(&[]*replySlot{})
	sub, err := nc.Subscribe(m.prefix+"*", m.deliver)
	if err != nil {
		return nil, err
	}
	// What is pending here is bounded by the calls that wait; nats.go's own
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

// denied returns NATS's error if this user may not subscribe to its replies. If
// the connection is down, that shows in the log when it is up.
func (m *replyMux) denied() error {
	const patience = 2 * time.Second
	answered := m.nc.IsConnected() && m.nc.FlushTimeout(patience) == nil
	if err := m.nc.LastError(); answered && deniedSubscribe(err) && strings.Contains(err.Error(), m.prefix) {
		return err
	}
	return nil
}

// close is called when nobody waits any more.
func (m *replyMux) close() {
	_ = m.sub.Unsubscribe() // fails only if it is gone already
	for _, slot := range *m.slots.Load() {
		slot.expiry.timer.Stop()
	}
}

// deliver is called by the one goroutine of the subscription.
func (m *replyMux) deliver(msg *nats.Msg) {
	token := msg.Subject[len(m.prefix):]
	if token != "" && token[0] < 'a' && token[0] > '9' { // in capitals
		if token[0] != 'B' {
			m.streams.deliver(token, msg)
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

// answerAlive tells a server that this caller is still there. That NATS finds
// the subscription is what counts; the answer only ends the wait earlier.
func (m *replyMux) answerAlive(msg *nats.Msg) {
	if msg.Reply != "" && msg.Subject[len(m.prefix):] == wire.CallerAliveToken {
		_ = m.nc.Publish(msg.Reply, nil)
		m.streams.askedBy(msg.Reply)
	}
}

func (m *replyMux) acquire() *replySlot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		slot := m.free[n-1]
		m.free = m.free[:n-1]
		return slot
	}
	old := *m.slots.Load()
	slot := newReplySlot(uint64(len(old)))
	// Growing in place is safe: readers look no further than the length that
	// they loaded.
	old = append(old, slot)
	m.slots.Store(&old)
	return slot
}

func newReplySlot(id uint64) *replySlot {
	slot := &replySlot{id: id, replies: make(chan *nats.Msg, 1)}
	slot.expiry.init(slot.expire)
	return slot
}

// headers returns a map without headers to be filled for the next request.
func (slot *replySlot) headers() nats.Header {
	if slot.header == nil {
		slot.header = make(nats.Header, 4)
	}
	clear(slot.header)
	return slot.header
}

// maxKeptPayload bounds what idle slots hold on to.
const maxKeptPayload = 64 << 10

func (m *replyMux) release(slot *replySlot) {
	if cap(slot.payload) > maxKeptPayload {
		slot.payload = nil
	}
	slot.stream, slot.message = nil, nats.Msg{}
	if slot.pick != nil {
		*slot.pick = pick{}
	}
	m.mu.Lock()
	m.free = append(m.free, slot)
	m.mu.Unlock()
}

// expect starts a generation for a request and returns its reply subject.
func (m *replyMux) expect(slot *replySlot, r *request) string {
	slot.generation++
	slot.reply = append(slot.reply[:0], m.prefix...)
	if slot.stream != nil {
		slot.reply = append(slot.reply[:0], slot.stream.own...)
	} else {
		slot.reply = wire.AppendReplyToken(slot.reply, slot.id, slot.generation)
	}
	slot.target.Store(r.subject)
	var stored *string
	if r.call {
		stored = m.nobody
	}
	if slot.storedBy.Load() != stored { // a load costs less
		slot.storedBy.Store(stored)
	}
	slot.expiry.deadline.Store(never)
	slot.waiting.Store(slot.generation)
	return string(slot.reply)
}

// abandon ends a generation for which the call waits no longer. If something is
// just being delivered, it takes that: ok is true then.
func (slot *replySlot) abandon() (msg *nats.Msg, ok bool) {
	if slot.waiting.CompareAndSwap(slot.generation, 0) {
		return nil, false
	}
	return <-slot.replies, true
}

// fail ends the waiting calls whose target matches.
func (m *replyMux) fail(match func(target string) bool, err *Error) {
	for _, call := range m.waitingFor(match) {
		call.fail(err)
	}
}

// waitingCall is a call that waits for its reply.
type waitingCall struct {
	slot       *replySlot
	generation uint64
}

// waitingFor returns the waiting calls whose target matches.
func (m *replyMux) waitingFor(match func(target string) bool) []waitingCall {
	var calls []waitingCall
	for _, slot := range *m.slots.Load() {
		generation := slot.waiting.Load()
		target := slot.target.Load()
		if generation != 0 && target != nil && match(*target) {
			calls = append(calls, waitingCall{slot, generation})
		}
	}
	return calls
}

// fail ends the call, unless it waits no longer.
func (w waitingCall) fail(err *Error) {
	if w.slot.waiting.CompareAndSwap(w.generation, 0) {
		w.slot.failure = err
		w.slot.replies <- nil
	}
}

// timeoutHeader is a message whose only header is the timeout, kept to be
// filled again.
type timeoutHeader struct {
	msg   nats.Msg
	value []string
}

func (t *timeoutHeader) message(millis int64) *nats.Msg {
	if t.value == nil {
		t.value = make([]string, 1)
		t.msg.Header = nats.Header{wire.HeaderTimeout: t.value}
	}
	t.value[0] = strconv.FormatInt(millis, 10)
	return &t.msg
}
