package book

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// appendTimeout bounds how long an append waits for the stream's answer.
	appendTimeout = 2 * time.Second
	// syncTimeout bounds how long a call waits for the stream to be read.
	syncTimeout = 2 * time.Second
)

// ledger is the book in one term of its leader.
//
// Every message is appended over the stream's last sequence as this ledger
// knows it, the one that begins the term included. So the stream takes a
// message only from who has read everything before it, and the beginning of a
// term makes each write of an older leader fail, however late it arrives and
// whatever the clocks say: that is the fencing.
type ledger struct {
	term   uint64
	js     jetstream.JetStream
	stream jetstream.Stream
	book   *book
	over   atomic.Bool   // a later term has begun
	told   atomic.Uint64 // the last order of which OrderPlaced is known to be published

	writing sync.Mutex // held by who reads or writes the stream; guards the following
	last    uint64     // the sequence of the last message that is known
	newest  uint64     // the term of that message
	behind  bool       // the stream may hold more than what is known
}

// beginTerm reads the whole stream and begins a term in it.
func beginTerm(ctx context.Context, js jetstream.JetStream, token uint64) (*ledger, error) {
	stream, err := openStream(ctx, js)
	if err != nil {
		return nil, err
	}
	l := &ledger{term: token, js: js, stream: stream, book: newBook()}
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		if err := l.catchUp(ctx); err != nil {
			return nil, err
		}
		err := l.append(ctx, record{term: token, told: l.told.Load()})
		if err == nil || !refused(err) {
			return l, err
		}
		// An older leader wrote meanwhile: read that too.
	}
}

// place accepts an order, unless it was accepted before; a new one only within
// the limits.
func (l *ledger) place(ctx context.Context, r *orderv1.PlaceOrderRequest, within func(*orderv1.PlaceOrderRequest) error) (*orderv1.Order, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for ctx.Err() == nil { // the lock may have taken a while
		if err := l.synchronize(ctx); err != nil {
			return nil, err
		}
		if accepted := l.book.find(r.GetId()); accepted != nil {
			return accepted, checkSame(r, accepted)
		}
		if err := within(r); err != nil {
			return nil, err
		}
		order := &orderv1.Order{
			Id: r.GetId(), Symbol: r.GetSymbol(), Side: r.GetSide(), Quantity: r.GetQuantity(), PriceCents: r.GetPriceCents(),
			Sequence: l.book.next(), Term: l.term,
		}
		err := l.append(ctx, record{term: l.term, told: l.told.Load(), order: order})
		if err == nil {
			return order, l.book.add(order)
		}
		l.behind = true
		if !refused(err) {
			return nil, aegis.Errorf(aegis.CodeUnavailable, "whether the order %q is stored is unknown; place it again under the same id: %w", r.GetId(), err)
		}
		// Nothing was stored. Who wrote in between is read next: a later leader,
		// or this one with an order of unknown outcome that was still on its way.
	}
	return nil, ctx.Err()
}

// list returns a page of the book.
func (l *ledger) list(after uint64, limit int) ([]*orderv1.Order, error) {
	if l.over.Load() {
		return nil, l.superseded()
	}
	return l.book.page(after, limit), nil
}

// append stores a record over the last known one. An error that is not refused
// leaves open whether it is stored.
func (l *ledger) append(ctx context.Context, r record) error {
	msg, err := r.message()
	if err != nil {
		return err
	}
	// A caller that goes away does not leave the outcome unknown to all others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequence(l.last))
	if err != nil {
		return fmt.Errorf("append to the stream %s: %w", streamName, err)
	}
	l.last, l.newest = ack.Sequence, r.term
	return nil
}

// refused reports whether the stream did not take a message because it ends
// elsewhere than the message's writer knew.
func refused(err error) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) &&
		(e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// synchronize makes sure that the ledger knows the whole stream, and that its
// term is not over.
func (l *ledger) synchronize(ctx context.Context) error {
	if l.over.Load() {
		return l.superseded()
	}
	if !l.behind {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	return l.catchUp(ctx)
}

// catchUp reads what the stream has and the ledger does not know.
func (l *ledger) catchUp(ctx context.Context) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return aegis.Errorf(aegis.CodeUnavailable, "the book cannot be read now: %w", err)
	}
	end := info.State.LastSeq
	if end < l.last {
		return aegis.Errorf(aegis.CodeDataLoss, "the stream %s ends at message %d, and had acknowledged %d", streamName, end, l.last)
	}
	if end > l.last {
		if err := readStream(ctx, l.stream, l.last+1, end, l.apply); err != nil {
			if code := aegis.CodeOf(err); code == aegis.CodeAborted || code == aegis.CodeDataLoss {
				return err
			}
			return aegis.Errorf(aegis.CodeUnavailable, "the book cannot be read now: %w", err)
		}
	}
	l.behind = false
	return nil
}

// apply takes a message of the stream into the book. It refuses what no leader
// can have written: then somebody else has, and the book is not to be trusted.
func (l *ledger) apply(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if at := meta.Sequence.Stream; at != l.last+1 {
		return fmt.Errorf("message %d came where %d follows", at, l.last+1) // lost on the way: read again
	}
	r, err := readRecord(msg)
	switch {
	case err != nil:
	case r.term > l.term:
		l.over.Store(true)
		return l.superseded()
	case r.term < l.newest:
		err = fmt.Errorf("term %d wrote it after term %d had begun", r.term, l.newest)
	case r.order != nil:
		err = l.book.add(r.order)
	}
	if err != nil {
		return aegis.Errorf(aegis.CodeDataLoss, "message %d of the stream %s is not the book's: %w", l.last+1, streamName, err)
	}
	l.last, l.newest = l.last+1, r.term
	if r.term < l.term { // in its own term it knows better
		l.told.Store(max(l.told.Load(), r.told))
	}
	return nil
}

func (l *ledger) superseded() error {
	return aegis.Errorf(aegis.CodeAborted, "term %d is over, a later leader has begun; nothing was stored, call again", l.term)
}
