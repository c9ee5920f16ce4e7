// Package payments serves payments.v1.PaymentsService: a small service with a call, a leader,
// a keyed event and a command. Its tests show how such a service is tested with and without
// NATS.
package payments

import (
	"context"
	"errors"
	"sync"

	paymentsv1 "github.com/aegisrpc/aegis/examples/payments/gen/payments/v1"
	"github.com/aegisrpc/aegis/examples/payments/gen/payments/v1/paymentsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// limit is how much an account may pay in all, in cents.
const limit = 100_000

// Service implements paymentsv1aegis.PaymentsServiceServer.
type Service struct {
	store Store
	paid  paymentsv1aegis.PaymentsServicePublisher

	mu     sync.Mutex // held by who pays; guards ledger
	ledger *ledger    // of the last term that began
}

// ledger is what a leader knows in its term.
type ledger struct {
	term  uint64
	known map[string]*paymentsv1.Payment // by id
	spent map[string]int64               // by account, in cents
	last  uint64                         // the sequence of the last write that it knows
}

// New makes a service that keeps its payments in a store, and tells of them over a
// connection.
func New(store Store, conn *aegis.Conn) (*Service, error) {
	paid, err := paymentsv1aegis.NewPaymentsServicePublisher(conn)
	if err != nil {
		return nil, err
	}
	return &Service{store: store, paid: paid}, nil
}

// OnLeading reads what was paid before.
func (s *Service) OnLeading(ctx context.Context, term aegis.Term) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(ctx, term.Token)
}

// load makes the ledger anew.
func (s *Service) load(ctx context.Context, term uint64) error {
	payments, last, err := s.store.All(ctx)
	if err != nil {
		return err
	}
	s.ledger = &ledger{term: term, known: make(map[string]*paymentsv1.Payment), spent: make(map[string]int64), last: last}
	for _, p := range payments {
		s.ledger.add(p)
	}
	return nil
}

func (l *ledger) add(p *paymentsv1.Payment) {
	l.known[p.GetId()] = p
	l.spent[p.GetAccount()] += p.GetCents()
}

// Pay decides on a payment, stores it and tells of it.
func (s *Service) Pay(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.PayResponse, error) {
	if req.GetId() == "" || req.GetAccount() == "" || req.GetCents() <= 0 {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "payment %q of %d cents from %q: give an id, an account and more than 0 cents",
			req.GetId(), req.GetCents(), req.GetAccount())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if term, _ := aegis.TermFromContext(ctx); s.ledger == nil || s.ledger.term != term.Token {
		return nil, aegis.NewError(aegis.CodeAborted, "the term of this call is over; call again")
	}
	payment := s.ledger.known[req.GetId()]
	if payment == nil {
		var err error
		if payment, err = s.accept(ctx, req); err != nil {
			return nil, err
		}
	}
	// Also if it was accepted before: that call may have ended here. A second event with the
	// same id is discarded, and subscribers bear one that comes again later.
	if _, err := s.paid.Paid(ctx, &paymentsv1.PaidRequest{Payment: payment}, aegis.MessageID(payment.GetId())); err != nil {
		return nil, err
	}
	return &paymentsv1.PayResponse{Payment: payment}, nil
}

// accept stores a payment, unless it exceeds the limit.
func (s *Service) accept(ctx context.Context, req *paymentsv1.PayRequest) (*paymentsv1.Payment, error) {
	p := &paymentsv1.Payment{Id: req.GetId(), Account: req.GetAccount(), Cents: req.GetCents()}
	if left := limit - s.ledger.spent[p.GetAccount()]; p.GetCents() > left {
		return nil, aegis.Errorf(aegis.CodeFailedPrecondition, "%d cents exceed the limit of account %q, which has %d left", p.GetCents(), p.GetAccount(), left)
	}
	sequence, err := s.store.Append(ctx, p, s.ledger.last)
	if errors.Is(err, ErrBehind) { // another leader has written, or a write of this one was not acknowledged
		if err := s.load(ctx, s.ledger.term); err != nil {
			return nil, err
		}
		return nil, aegis.NewError(aegis.CodeAborted, "the payments were read anew; call again")
	}
	if err != nil {
		return nil, err
	}
	s.ledger.last = sequence
	s.ledger.add(p)
	return p, nil
}

// GetPayment looks a payment up.
func (s *Service) GetPayment(ctx context.Context, req *paymentsv1.GetPaymentRequest) (*paymentsv1.GetPaymentResponse, error) {
	p, err := s.store.Get(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, aegis.Errorf(aegis.CodeNotFound, "there is no payment %q", req.GetId())
	}
	return &paymentsv1.GetPaymentResponse{Payment: p}, nil
}

// CloseDay adds up all payments.
func (s *Service) CloseDay(ctx context.Context, _ *paymentsv1.CloseDayRequest) (*paymentsv1.CloseDayResponse, error) {
	payments, _, err := s.store.All(ctx)
	if err != nil {
		return nil, err
	}
	job, _ := aegis.JobFromContext(ctx)
	res := &paymentsv1.CloseDayResponse{Payments: int64(len(payments))}
	for i, p := range payments {
		res.Cents += p.GetCents()
		if i%1000 == 0 {
			percent := 100 * float64(i) / float64(len(payments))
			_ = job.Report(ctx, aegis.Progress{Percent: percent, Message: "adding up"}) // the work goes on without
		}
	}
	return res, nil
}
