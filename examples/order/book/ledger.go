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
	appendTimeout = time.Second
	// syncTimeout bounds how long a call waits for the stream to be read.
	syncTimeout = 2 * time.Second
)

// ledger is the book in one term of its leader.
//
// Every message is appended over the stream's last sequence as this process knows it, the one
// that begins the term included. So the stream takes a message only from a leader that has read everything
// before it, and the beginning of a term makes each write of an older leader fail, however late it
// arrives and whatever the clocks say: that is the fencing.
type ledger struct {
	*replica
	term      uint64
	published atomic.Uint64 // the last order of which this leader knows OrderPlaced to be published

	writing sync.Mutex // held by who appends; guards the following
	behind  bool       // the stream may hold more than what is known
}

// begin begins a term over what the replica knows, and reads what is missing. The error is errOther
// if the replica cannot be used.
func (r *replica) begin(ctx context.Context, token uint64) (*ledger, error) {
	known, stream := r.known(), r.opened()
	l := &ledger{replica: r, term: token, behind: known.at == 0}
	if known.at == 0 { // the stream may have to be made first
		if err := r.open(ctx); err != nil {
			return nil, err
		}
		return l, l.start(ctx)
	}
	// Callers wait, so all is asked at once. That a term begins does no harm to a stream that turns out to be
	// another one, or not to be fit.
	asked := make(chan error, 2)
	go func() { asked <- r.open(ctx) }() // it may have been changed
	go func() { asked <- known.continues(ctx, stream) }()
	err := l.start(ctx)
	return l, errors.Join(<-asked, <-asked, err)
}

// start appends that the term begins.
func (l *ledger) start(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		last, err := l.synchronize(ctx)
		if err != nil {
			return err
		}
		l.published.Store(l.toldBefore())
		if err = l.append(ctx, last, nil); err == nil || !refused(err) {
			return err
		}
		// An older leader has written more: read that too.
	}
}

// place accepts an order, unless it was accepted before; a new one only within
// the limits.
func (l *ledger) place(ctx context.Context, r *orderv1.PlaceOrderRequest, within func(*orderv1.PlaceOrderRequest) error) (*orderv1.Order, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for ctx.Err() == nil { // the lock may have taken a while
		last, err := l.synchronize(ctx)
		if err != nil {
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
		err = l.append(ctx, last, order)
		switch {
		case err == nil:
			return order, nil
		case aegis.CodeOf(err) == aegis.CodeDataLoss:
			return nil, err
		case !refused(err):
			return nil, aegis.Errorf(aegis.CodeUnavailable, "whether the order %q is stored is unknown; place it again under the same id: %w", r.GetId(), err)
		}
		// Nothing was stored. The write in between is read next: a later leader's, or
		// that of an order of unknown outcome which was still on its way.
	}
	return nil, ctx.Err()
}

// list returns a page of the book.
func (l *ledger) list(after uint64, limit int) ([]*orderv1.Order, error) {
	if err := l.lasts(); err != nil {
		return nil, err
	}
	return l.book.page(after, limit), nil
}

// append stores an order, or that the term begins, over a message. An error that is not refused leaves
// open whether it is stored.
func (l *ledger) append(ctx context.Context, last uint64, order *orderv1.Order) error {
	rec := record{term: l.term, told: l.published.Load(), order: order}
	msg, err := rec.message()
	if err != nil {
		return err
	}
	// A caller that goes away does not leave the outcome unknown to all others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequence(last))
	if err != nil {
		l.behind = true
		return fmt.Errorf("append to the stream %s: %w", streamName, err)
	}
	return l.take(ack.Sequence, rec)
}

// refused reports whether the stream did not take a message because it ends
// elsewhere than the message's writer knew.
func refused(err error) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) &&
		(e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// synchronize makes sure that the ledger knows the whole stream, and that its term is not over. It
// returns the last message of which that is true: more may come in at any time, and what is written is
// written over that one.
func (l *ledger) synchronize(ctx context.Context) (last uint64, err error) {
	if l.behind {
		ctx, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		if err := l.lasts(); err != nil {
			return 0, err
		}
		if err := l.catchUp(ctx); err != nil {
			return 0, err
		}
		l.behind = false
	}
	known := l.known() // before the look at the book
	return known.at, l.check(known)
}

// lasts returns an error if a later term has begun.
func (l *ledger) lasts() error { return l.check(l.known()) }

func (l *ledger) check(known mark) error {
	if known.term <= l.term {
		return nil
	}
	return aegis.Errorf(aegis.CodeAborted, "term %d is over, a later leader has begun; nothing was stored, call again", l.term)
}
