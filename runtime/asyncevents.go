package aegis

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// asyncEvents are the events that all publishers of a connection have in flight.
// Their acknowledgements come over one subscription. One goroutine looks after
// those that do not come, as long as there are any, so that an event costs neither
// a timer nor a goroutine, and a publisher that is idle nothing.
type asyncEvents struct {
	conn *Conn

	mu       sync.Mutex
	sub      *nats.Subscription // nil before the first event
	prefix   string             // of reply subjects
	pending  map[uint64]*PubFuture
	next     uint64
	watching bool // whenever something is pending
}

const asyncTick = 100 * time.Millisecond

func (a *asyncEvents) init(c *Conn) {
	a.conn = c
	a.pending = make(map[uint64]*PubFuture)
}

// add sends an event for the first time. It belongs to those in flight if there
// is no error.
func (a *asyncEvents) add(f *PubFuture) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.listen(); err != nil {
		return err
	}
	if !a.watching {
		if a.watching = a.conn.start(a.watch); !a.watching {
			return nats.ErrConnectionClosed
		}
	}
	a.next++
	f.sent = time.Now()
	// Within the lock, so that events are sent in the order in which they are
	// published.
	if err := a.send(a.next, f); err != nil {
		return err
	}
	a.pending[a.next] = f
	return nil
}

// listen subscribes to acknowledgements. a.mu is held.
func (a *asyncEvents) listen() error {
	if a.sub != nil {
		return nil
	}
	nc := a.conn.nc
	a.prefix = nc.NewInbox() + "."
	sub, err := nc.Subscribe(a.prefix+"*", a.acknowledged)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	a.sub = sub
	return sub.SetPendingLimits(-1, -1) // what is pending is bounded by what is in flight
}

// send is called with a.mu held, so that an acknowledgement waits until the event
// is among those in flight.
func (a *asyncEvents) send(id uint64, f *PubFuture) error {
	reply := a.prefix + strconv.FormatUint(id, 36)
	if f.header == nil {
		return a.conn.nc.PublishRequest(f.subject, reply, f.payload)
	}
	return a.conn.nc.PublishMsg(&nats.Msg{Subject: f.subject, Reply: reply, Header: f.header, Data: f.payload})
}

// acknowledged takes JetStream's answers.
func (a *asyncEvents) acknowledged(msg *nats.Msg) {
	id, err := strconv.ParseUint(msg.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return
	}
	stored, why := stores.ParseAck(msg, "")
	ack, failure := (*PubAck)(stored), outward(why)
	a.mu.Lock()
	f := a.pending[id]
	switch {
	case f == nil:
		a.mu.Unlock()
		return
	case failure != nil && failure.Reason() == ReasonNoResponders:
		f.refused = true // watch sends it again
		a.mu.Unlock()
		return
	case failure != nil && (f.open || jserror.InProcess(failure)): // of this copy; watch asks again
		f.open, f.err = true, failure
		a.mu.Unlock()
		return
	}
	delete(a.pending, id)
	a.mu.Unlock()
	f.end(ack, failure)
}

// watch looks after what is not acknowledged, until nothing is in flight or the
// connection is closed.
func (a *asyncEvents) watch() {
	ticker := time.NewTicker(asyncTick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !a.look(time.Now()) {
				return
			}
		case <-a.conn.ctx.Done():
			a.abandon()
			return
		}
	}
}

// look ends what is too late, and sends again what was not stored. It reports
// whether anything is in flight.
func (a *asyncEvents) look(now time.Time) bool {
	up := a.conn.bus.LinkUp()
	var late []*PubFuture
	var again map[*asyncPublisher][]uint64
	a.mu.Lock()
	for id, f := range a.pending {
		switch {
		case now.After(f.deadline):
			late = append(late, f)
			delete(a.pending, id)
		case up && f.due(now):
			if again == nil {
				again = make(map[*asyncPublisher][]uint64)
			}
			again[f.of] = append(again[f.of], id)
		}
	}
	a.watching = len(a.pending) > 0
	watching := a.watching
	a.mu.Unlock()
	for _, f := range late {
		f.end(nil, f.unacknowledged())
	}
	for publisher, ids := range again {
		publisher.sendAgain(ids)
	}
	return watching
}

// due reports whether an event is to be sent again. a.mu is held.
func (f *PubFuture) due(now time.Time) bool {
	return f.refused || now.Sub(f.sent) > stores.ResendAfter && f.mayRepeat(now)
}

// resend sends those events again that are still due: who has chosen them may have
// done so before the last copy was sent.
func (a *asyncEvents) resend(ids []uint64) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if f := a.pending[id]; f != nil && f.due(now) {
			f.open = f.open || !f.refused
			f.sent, f.refused = now, false
			_ = a.send(id, f) // again later, or the deadline ends it
		}
	}
}

// deny ends what NATS does not let this user publish, unless an earlier copy may be
// stored.
func (a *asyncEvents) deny(subject string, denied *Error) {
	var refused []*PubFuture
	a.mu.Lock()
	for id, f := range a.pending {
		if f.subject == subject {
			refused = append(refused, f)
			delete(a.pending, id)
		}
	}
	a.mu.Unlock()
	for _, f := range refused {
		f.end(nil, outward(stores.Undecided(f.open, f.subject, &denied.st)))
	}
}

// abandon ends what is in flight when the connection is closed. Nothing is added
// any more: nobody would watch it.
func (a *asyncEvents) abandon() {
	a.mu.Lock()
	left := a.pending
	a.pending = make(map[uint64]*PubFuture)
	a.watching = false
	a.mu.Unlock()
	for _, f := range left {
		f.end(nil, connClosed())
	}
}

// close is called when the connection is closed, and nobody watches any more.
func (a *asyncEvents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sub != nil {
		_ = a.sub.Unsubscribe() // fails only if it is gone already
	}
}
