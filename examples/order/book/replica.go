package book

import (
	"context"
	"math"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// replica is the copy of the book that every process has, for questions that
// need no leader. It reads the stream when it is asked for what it does not know.
type replica struct {
	js jetstream.JetStream

	opening sync.Mutex
	ledger  *ledger // nil before the first question
}

// find returns the order with this id, or an error that is NOT_FOUND if it was
// not accepted by now.
func (r *replica) find(ctx context.Context, id string) (*orderv1.Order, error) {
	l, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	if order := l.book.find(id); order != nil {
		return order, nil // orders do not change
	}
	if err := l.follow(ctx); err != nil {
		return nil, err
	}
	if order := l.book.find(id); order != nil {
		return order, nil
	}
	return nil, aegis.Errorf(aegis.CodeNotFound, "the order %q is not in the book; place it, or ask again when it is accepted", id)
}

func (r *replica) open(ctx context.Context) (*ledger, error) {
	r.opening.Lock()
	defer r.opening.Unlock()
	if r.ledger != nil {
		return r.ledger, nil
	}
	l, err := newReader(ctx, r.js)
	if err == nil {
		r.ledger = l
	}
	return l, err
}

// newReader returns a ledger without a term, which follows all of them and
// writes in none.
func newReader(ctx context.Context, js jetstream.JetStream) (*ledger, error) {
	stream, err := openStream(ctx, js)
	if err != nil {
		return nil, aegis.Errorf(aegis.CodeUnavailable, "the book cannot be read now: %w", err)
	}
	return &ledger{term: math.MaxUint64, js: js, stream: stream, book: newBook()}, nil
}

// follow reads what was written since the last time.
func (l *ledger) follow(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.catchUp(ctx)
}
