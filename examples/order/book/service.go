// Package book is an order book of which every process has a copy, and which
// only the elected leader changes. Its orders are the messages of a JetStream
// stream.
package book

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Service implements order.v1.OrderService.
type Service struct {
	events  orderv1aegis.OrderServicePublisher
	current atomic.Pointer[ledger] // of the last term that began here
	replica atomic.Pointer[replica]
	limits  limits
}

// Config is how a service is set up. The zero value is one without limits, whose stream is on
// one NATS server.
type Config struct {
	// LimitsFile is the file with the limits of an order. Default: there are none.
	LimitsFile string
	// Replicas is how many NATS servers keep the book. Default: 1, or as many as do.
	Replicas int
}

var _ orderv1aegis.OrderServiceServer = (*Service)(nil)

// NewService returns a service that keeps the book in the stream ORDERS.
func NewService(conn *aegis.Conn, config Config) (*Service, error) {
	s := &Service{limits: limits{file: config.LimitsFile}}
	js, err := jetstream.New(conn.NATS())
	if err != nil {
		return nil, err
	}
	s.replica.Store(newReplica(js, config.Replicas))
	if s.events, err = orderv1aegis.NewOrderServicePublisher(conn); err != nil {
		return nil, err
	}
	_, err = s.limits.reload()
	return s, err
}

// OnLeading begins a term in the book, and tells of its orders as long as the term lasts.
// Callers wait meanwhile. What this process knows of the book is used only as far as the stream goes
// on from there: others have led since.
func (s *Service) OnLeading(ctx context.Context, term aegis.Term) error {
	r := s.replica.Load()
	l, err := r.begin(ctx, term.Token)
	if errors.Is(err, errOther) {
		slog.WarnContext(ctx, "the book is read anew", "error", err)
		s.replica.Store(newReplica(r.js, r.servers))
		l, err = s.replica.Load().begin(ctx, term.Token)
	}
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
	order, err := s.replica.Load().find(ctx, req.GetId())
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
