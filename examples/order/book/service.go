// Package book is an order book of which every process has a copy, and which
// only the elected leader changes. Its orders are the messages of a JetStream
// stream.
package book

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Service implements order.v1.OrderService.
type Service struct {
	js      jetstream.JetStream
	events  orderv1aegis.OrderServicePublisher
	current atomic.Pointer[ledger] // of the last term that began here
	replica replica
	limits  limits
}

var _ orderv1aegis.OrderServiceServer = (*Service)(nil)

// NewService returns a service that keeps the book in the stream ORDERS. It reads
// its limits from a file, and has none if the file's name is "".
func NewService(conn *aegis.Conn, limitsFile string) (*Service, error) {
	s := &Service{limits: limits{file: limitsFile}}
	var err error
	if s.js, err = jetstream.New(conn.NATS()); err != nil {
		return nil, err
	}
	s.replica.js = s.js
	if s.events, err = orderv1aegis.NewOrderServicePublisher(conn); err != nil {
		return nil, err
	}
	_, err = s.limits.reload()
	return s, err
}

// OnLeading reads the book, begins a term in it, and tells of its orders as long
// as the term lasts. What this process knew from an earlier term is not used:
// others have led since.
func (s *Service) OnLeading(ctx context.Context, term aegis.Term) error {
	l, err := beginTerm(ctx, s.js, term.Token)
	if err != nil {
		return err
	}
	s.current.Store(l)
	go l.tell(ctx, s.events)
	return nil
}

// PlaceOrder accepts an order, once for each id.
func (s *Service) PlaceOrder(ctx context.Context, req *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	if err := checkOrder(req); err != nil {
		return nil, err
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	order, err := l.place(ctx, req, s.limits.check)
	if err != nil {
		return nil, err
	}
	call, _ := aegis.CallFromContext(ctx)
	return &orderv1.PlaceOrderResponse{Order: order, Instance: call.Instance()}, nil
}

// ListOrders returns a page of the book.
func (s *Service) ListOrders(ctx context.Context, req *orderv1.ListOrdersRequest) (*orderv1.ListOrdersResponse, error) {
	limit, err := pageLimit(req)
	if err != nil {
		return nil, err
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	orders, err := l.list(req.GetAfter(), limit)
	return &orderv1.ListOrdersResponse{Orders: orders}, err
}

// GetOrder returns an order from this process's copy of the book.
func (s *Service) GetOrder(ctx context.Context, req *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	order, err := s.replica.find(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	call, _ := aegis.CallFromContext(ctx)
	return &orderv1.GetOrderResponse{Order: order, Instance: call.Instance()}, nil
}

// WatchOrders streams the book, and what is added to it while the term lasts.
func (s *Service) WatchOrders(ctx context.Context, req *orderv1.WatchOrdersRequest, out aegis.Sender[orderv1.WatchOrdersResponse]) error {
	l, err := s.ledger(ctx)
	if err != nil {
		return err
	}
	for after := req.GetAfter(); ; {
		added := l.book.added() // before the look at the book, so that nothing comes in between
		orders, err := l.list(after, maxPage)
		if err != nil {
			return err
		}
		for _, order := range orders {
			if err := out.Send(&orderv1.WatchOrdersResponse{Order: order}); err != nil {
				return err
			}
			after = order.GetSequence()
		}
		if len(orders) > 0 {
			continue
		}
		select {
		case <-added:
		case <-ctx.Done(): // the term is over, or nobody watches any more
			return ctx.Err()
		}
	}
}

// ReloadLimits reads the file of the limits again.
func (s *Service) ReloadLimits(context.Context, *orderv1.ReloadLimitsRequest) (*orderv1.ReloadLimitsResponse, error) {
	now, err := s.limits.reload()
	if err != nil {
		return nil, err
	}
	return &orderv1.ReloadLimitsResponse{Version: now.Version, MaxQuantity: now.MaxQuantity}, nil
}

// ledger returns that of the handler's term. A handler that was held up for so
// long that its process leads again by now must not write in the later term.
func (s *Service) ledger(ctx context.Context) (*ledger, error) {
	l := s.current.Load()
	term, ok := aegis.TermFromContext(ctx)
	if !ok || l == nil || l.term != term.Token {
		return nil, aegis.Errorf(aegis.CodeAborted, "term %d is over; nothing was stored, call again", term.Token)
	}
	return l, nil
}
