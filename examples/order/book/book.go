package book

import (
	"fmt"
	"sync"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

// book is the accepted orders, by their sequence and by their id. Orders in it
// are not changed any more.
type book struct {
	mu     sync.RWMutex
	orders []*orderv1.Order
	byID   map[string]*orderv1.Order
	news   chan struct{} // closed when an order is added
}

func newBook() *book { return &book{byID: make(map[string]*orderv1.Order), news: make(chan struct{})} }

// added returns a channel that is closed when the next order is added.
func (b *book) added() <-chan struct{} {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.news
}

// add puts the next order in, and refuses one that does not belong there.
func (b *book) add(order *orderv1.Order) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if next := uint64(len(b.orders)) + 1; order.GetSequence() != next {
		return fmt.Errorf("order %q has the sequence %d where %d follows", order.GetId(), order.GetSequence(), next)
	}
	if first, twice := b.byID[order.GetId()]; twice {
		return fmt.Errorf("order %q is there twice, at %d and at %d", order.GetId(), first.GetSequence(), order.GetSequence())
	}
	b.orders = append(b.orders, order)
	b.byID[order.GetId()] = order
	close(b.news)
	b.news = make(chan struct{})
	return nil
}

// find returns the order with this id, or nil.
func (b *book) find(id string) *orderv1.Order {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byID[id]
}

// next is the sequence of the next order.
func (b *book) next() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return uint64(len(b.orders)) + 1
}

// page returns at most limit orders, those that follow after.
func (b *book) page(after uint64, limit int) []*orderv1.Order {
	b.mu.RLock()
	defer b.mu.RUnlock()
	begin := min(after, uint64(len(b.orders)))
	rest := b.orders[begin:]
	return rest[:min(limit, len(rest)):min(limit, len(rest))]
}
