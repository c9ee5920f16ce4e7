package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Async has the messages that all senders of a connection have in flight. Their
// acknowledgements come over one subscription. As long as messages are in flight, one
// goroutine sends messages again whose acknowledgements do not come, and ends those
// whose time is over, so that a message costs neither a timer nor a goroutine, and an
// idle sender nothing. It is safe for concurrent use.
type Async struct {
	bus *bus.Bus
	// start runs a goroutine for as long as the connection lives, and reports whether it
	// still does.
	start func(func(ctx context.Context)) bool

	mu       sync.Mutex         // guards what follows, and some fields of flights
	sub      *nats.Subscription // to acknowledgements; nil before the first message
	prefix   string             // of reply subjects
	pending  map[uint64]*Flight // by the number in their reply subjects
	next     uint64             // the last number
	watching bool               // the goroutine runs, as it does whenever something is pending
}

// asyncTick is how often the goroutine looks at the messages in flight.
const asyncTick = 100 * time.Millisecond

// NewAsync makes the Async of a connection. Close follows.
func NewAsync(b *bus.Bus, start func(func(ctx context.Context)) bool) *Async {
	return &Async{bus: b, start: start, pending: make(map[uint64]*Flight)}
}

// Sender sends messages to one stream and does not wait for their acknowledgements. It
// is safe for concurrent use.
type Sender struct {
	async   *Async
	stream  *Stream
	name    string        // of the messages, for people
	room    chan struct{} // has an element for each message in flight, and is never closed
	seeking atomic.Bool   // the stream is being looked for, to send messages again
}

// NewSender makes a sender. Most is how many messages may be in flight, and name says
// which messages these are, such as "events of order.v1.OrderService".
func NewSender(a *Async, stream *Stream, name string, most int) *Sender {
	return &Sender{async: a, stream: stream, name: name, room: make(chan struct{}, most)}
}

// Flight is a message in flight, and its outcome. Its maker sets the exported fields
// before Send, and does not change them after that.
type Flight struct {
	Subject string
	Header  nats.Header // nil without any
	Payload []byte
	Timeout time.Duration // of its acknowledgement
	Again   bool          // a second copy is recognised, and not stored again
	// Event is set for an event with a key, whose hash is Hash: it says the subject of a
	// further copy. The mutex of Async guards Subject then.
	Event *KeyedEvent
	Hash  uint64

	sender *Sender
	began  time.Time // when the first copy was sent

	// The mutex of Async guards the next three.
	refused bool      // no stream was there to take the last copy
	open    bool      // an earlier copy was not answered, and may be stored
	sent    time.Time // when the last copy was sent

	done chan struct{} // closed by endFlight
	ack  *Ack
	why  *status.Status // until done is closed, the last answer that has decided nothing
}

// Done is closed when the outcome is known, at the latest after the timeout.
func (f *Flight) Done() <-chan struct{} { return f.done }

// Outcome returns the acknowledgement, or why there is none. It follows Done.
func (f *Flight) Outcome() (*Ack, *status.Status) { return f.ack, f.why }

// Land makes f a message whose outcome is known, though it was never sent.
func (f *Flight) Land(ack *Ack, why *status.Status) {
	f.done = make(chan struct{})
	f.ack, f.why = ack, why
	close(f.done)
}

// Send sends f. It waits only while as many messages are in flight as may be, or the
// connection is down. If the status is not nil, nothing was sent.
func (s *Sender) Send(ctx context.Context, f *Flight, deadline time.Time) *status.Status {
	if why := s.enter(ctx, deadline); why != nil {
		return why
	}
	f.sender, f.began, f.done = s, time.Now(), make(chan struct{})
	if why := s.publish(ctx, f, deadline); why != nil {
		<-s.room
		return why
	}
	return nil
}

// enter waits until fewer messages are in flight than may be.
func (s *Sender) enter(ctx context.Context, deadline time.Time) *status.Status {
	select {
	case s.room <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case s.room <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		if time.Now().Before(deadline) {
			return status.Of(ctx.Err())
		}
	}
	return status.Newf(status.ResourceExhausted, "%d %s are in flight, as many as may be, and none was acknowledged before the deadline; "+
		"nothing was published", cap(s.room), s.name)
}

// publish sends a message for the first time.
func (s *Sender) publish(ctx context.Context, f *Flight, deadline time.Time) *status.Status {
	b := s.async.bus
	for {
		if !b.LinkUp() {
			if why := b.AwaitLink(ctx, f.Subject, deadline); why != nil {
				return why
			}
		}
		err := s.async.add(f)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, nats.ErrReconnectBufExceeded):
			return b.PublishError(&bus.Request{Subject: &f.Subject, Payload: f.Payload, Deadline: deadline}, err)
		}
		b.Link.Doubt() // the connection went down after LinkUp
	}
}

// add sends a message for the first time, and adds it to those in flight unless there is
// an error.
func (a *Async) add(f *Flight) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.listen(); err != nil {
		return err
	}
	if !a.watching {
		if a.watching = a.start(a.watch); !a.watching {
			return nats.ErrConnectionClosed
		}
	}
	a.next++
	f.sent = time.Now()
	// With the mutex held, so that messages are sent in the order in which they are
	// published.
	if err := a.send(a.next, f); err != nil {
		return err
	}
	a.pending[a.next] = f
	return nil
}

// listen subscribes to acknowledgements. a.mu is held.
func (a *Async) listen() error {
	if a.sub != nil {
		return nil
	}
	a.prefix = a.bus.NATS.NewInbox() + "."
	sub, err := a.bus.NATS.Subscribe(a.prefix+"*", a.acknowledged)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	a.sub = sub
	return sub.SetPendingLimits(-1, -1) // how many are pending is bounded by how many messages are in flight
}

// send sends a copy of a message. a.mu is held, so that an acknowledgement waits until
// the message is among those in flight.
func (a *Async) send(id uint64, f *Flight) error {
	reply := a.prefix + strconv.FormatUint(id, 36)
	if f.Header == nil {
		return a.bus.NATS.PublishRequest(f.Subject, reply, f.Payload)
	}
	return a.bus.NATS.PublishMsg(&nats.Msg{Subject: f.Subject, Reply: reply, Header: f.Header, Data: f.Payload})
}

// acknowledged takes an answer of JetStream.
func (a *Async) acknowledged(msg *nats.Msg) {
	id, err := strconv.ParseUint(msg.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return
	}
	ack, why := ParseAck(msg, "")
	a.mu.Lock()
	f := a.pending[id]
	switch {
	case f == nil:
		a.mu.Unlock()
		return
	case why != nil && (why.Reason == status.ReasonNoResponders || f.Event != nil && formerEpoch(why)):
		f.refused = true // watch sends it again
		a.mu.Unlock()
		return
	case why != nil && (f.open || jserror.InProcess(why.Cause)): // this copy is refused; watch sends another one
		f.open, f.why = true, why
		a.mu.Unlock()
		return
	}
	delete(a.pending, id)
	a.mu.Unlock()
	f.endFlight(ack, why)
}

// endFlight gives the message its outcome, and its place to another message. It is called
// once, by the function that has taken the message out of those in flight.
func (f *Flight) endFlight(ack *Ack, why *status.Status) {
	f.ack, f.why = ack, why
	close(f.done)
	<-f.sender.room
}

// watch is the goroutine that looks at messages that are not acknowledged, until none is
// in flight or the connection is closed.
func (a *Async) watch(ctx context.Context) {
	ticker := time.NewTicker(asyncTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !a.lookAtPending(time.Now()) {
				return
			}
		case <-ctx.Done():
			a.abandon()
			return
		}
	}
}

// lookAtPending ends messages whose time is over, and sends messages again that are due.
// It reports whether any message is in flight.
func (a *Async) lookAtPending(now time.Time) bool {
	up := a.bus.LinkUp()
	var late []*Flight
	var again map[*Sender][]uint64
	a.mu.Lock()
	for id, f := range a.pending {
		switch {
		case now.Sub(f.began) > f.Timeout:
			late = append(late, f)
			delete(a.pending, id)
		case up && f.due(now):
			if again == nil {
				again = make(map[*Sender][]uint64)
			}
			again[f.sender] = append(again[f.sender], id)
		}
	}
	a.watching = len(a.pending) > 0
	watching := a.watching
	a.mu.Unlock()
	for _, f := range late {
		f.endFlight(nil, f.unacknowledged())
	}
	for sender, ids := range again {
		sender.sendAgain(ids)
	}
	return watching
}

// due reports whether a message is to be sent again. The mutex of Async is held.
func (f *Flight) due(now time.Time) bool {
	return f.refused || now.Sub(f.sent) > ResendAfter && f.mayRepeat(now)
}

// mayRepeat reports whether the stream recognises a further copy as one.
func (f *Flight) mayRepeat(now time.Time) bool {
	window := f.sender.stream.Window()
	return f.Again && (window == 0 || now.Sub(f.began) < window/2)
}

// unacknowledged returns the outcome of a message that was not acknowledged in time.
func (f *Flight) unacknowledged() *status.Status {
	if f.refused && !f.open {
		return NoStream()
	}
	if last := f.sender.async.bus.LastError(); last != nil {
		if subject, ok := denials.RefusesPublishing(last); ok && subject == f.Subject {
			return bus.Denied(subject, last)
		}
	}
	last := f.why
	if last == nil {
		last = status.New(status.DeadlineExceeded, "")
	}
	return Undecided(true, f.Subject, last)
}

// sendAgain looks for the stream, or makes it anew, and sends messages again. While it
// does so, further calls do nothing.
func (s *Sender) sendAgain(ids []uint64) {
	if !s.seeking.CompareAndSwap(false, true) {
		return
	}
	started := s.async.start(func(ctx context.Context) {
		defer s.seeking.Store(false)
		// The stream may be gone. If another subscriber listens on the subject, no answer
		// says so.
		s.stream.Forget()
		_ = s.stream.Ensure(ctx, time.Now().Add(ResendAfter)) // if this fails, the messages that are sent all the same tell it
		slices.Sort(ids)                                      // in the order in which they were published
		s.async.resend(ids)
	})
	if !started { // the connection is closed, and all messages end
		s.seeking.Store(false)
	}
}

// resend sends messages again that are still due: a message may have been chosen before
// its last copy was sent.
func (a *Async) resend(ids []uint64) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if f := a.pending[id]; f != nil && f.due(now) {
			f.open = f.open || !f.refused
			f.sent, f.refused = now, false
			if f.Event != nil {
				f.Subject = *f.Event.Subject(f.Hash)
			}
			_ = a.send(id, f) // if this fails, it is sent again later, or the deadline ends it
		}
	}
}

// Deny ends the messages to a subject to which NATS does not let this user publish. Where
// an earlier copy may be stored, the outcome leaves that open.
func (a *Async) Deny(subject string, denied *status.Status) {
	var refused []*Flight
	a.mu.Lock()
	for id, f := range a.pending {
		if f.Subject == subject {
			refused = append(refused, f)
			delete(a.pending, id)
		}
	}
	a.mu.Unlock()
	for _, f := range refused {
		f.endFlight(nil, Undecided(f.open, f.Subject, denied))
	}
}

// abandon ends the messages in flight when the connection is closed. No message is added
// after that, as start fails then.
func (a *Async) abandon() {
	a.mu.Lock()
	left := a.pending
	a.pending = make(map[uint64]*Flight)
	a.watching = false
	a.mu.Unlock()
	for _, f := range left {
		f.endFlight(nil, bus.Closed())
	}
}

// Close unsubscribes. It is called when the connection is closed and the goroutine has
// ended.
func (a *Async) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sub != nil {
		_ = a.sub.Unsubscribe() // fails only if it is gone already
	}
}

// Watching reports whether the goroutine runs that looks at messages in flight.
func (a *Async) Watching() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watching
}

// ResendAll is resend of all messages in flight, as if they had been chosen a while ago.
// Tests call it.
func (a *Async) ResendAll() {
	a.mu.Lock()
	ids := make([]uint64, 0, len(a.pending))
	for id := range a.pending {
		ids = append(ids, id)
	}
	a.mu.Unlock()
	a.resend(ids)
}
